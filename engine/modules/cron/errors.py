"""What functions about schedules fail with."""

from __future__ import annotations

from engine.core.errors import EngineError


class CronError(EngineError):
    """An argument of a function about schedules cannot be used; the message names it."""

    code = "cron_error"


class ScheduleNotFound(EngineError):
    """There is no schedule of this id, or none that may be changed so."""

    code = "schedule_not_found"


class ScheduleExists(EngineError):
    """A new schedule has the id of one that is there."""

    code = "schedule_exists"
