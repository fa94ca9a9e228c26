"""How the clock of schedules reaches the rows that it plans, and hears that they have changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import msgspec

from engine.background.alarm import Alarm
from engine.background.link import EngineLink
from engine.core.errors import EngineError, InvocationFailed
from engine.modules.cron.records import Planned

PLAN: Final = "engine::cron::plan"

CALL_TIMEOUT_S: Final = 10.0

NEWS_PAUSE_S: Final = 5.0
"""For a clock that hears of changes: how often it looks anyway. A word may be lost, and a machine
that slept, or whose clock was set, is noticed."""

POLL_PAUSE_S: Final = 1.0
"""For a clock that hears of nothing: how late it learns of a new schedule."""

UNKNOWN_PAUSE_S: Final = 30.0
"""How often it asks an engine that has no cron module: another one may have started since."""


class PlanningFailed(EngineError):
    """The clock could not plan: the engine or the database is away, or has failed."""

    code = "planning_failed"


class Planner(ABC):
    """Plans what is due; used by one thread.

    Attributes:
        pause_s: the longest time between two looks.
        idle_pause_s: the same while nobody is there who would run anything.
        serves_own_engine: whether what is planned is run by the engine of this process: its ticks
            may have been planned by another clock a moment before.
    """

    pause_s: float = NEWS_PAUSE_S
    idle_pause_s: float = NEWS_PAUSE_S
    serves_own_engine = False

    @abstractmethod
    def plan(self) -> Planned | None:
        """Plan what is due; None if nobody is there who would run it.

        Raises:
            PlanningFailed: try again.
        """

    def wait(self, alarm: Alarm, timeout_s: float) -> None:
        """Sleep until the alarm rings, schedules have changed, or the time is over."""
        alarm.sleep(timeout_s)

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""


class EnginePlanner(Planner):
    """Asks an engine to plan: on SQLite nobody else writes.

    Args:
        link: to the engine.
        is_own: whether it is the engine of this process, which rings when schedules change.
    """

    idle_pause_s = UNKNOWN_PAUSE_S

    def __init__(self, link: EngineLink, *, is_own: bool) -> None:
        self._link = link
        self.serves_own_engine = is_own
        self.pause_s = NEWS_PAUSE_S if is_own else POLL_PAUSE_S

    def plan(self) -> Planned | None:
        """Plan what is due."""
        try:
            answer = self._link.call(PLAN, b"{}", CALL_TIMEOUT_S)
        except InvocationFailed as error:
            if error.error_code == "function_not_found":  # an engine without the cron module
                return None
            raise PlanningFailed(f"{PLAN} failed: {error}") from error
        except EngineError as error:
            raise PlanningFailed(str(error)) from error
        return msgspec.json.decode(answer, type=Planned)

    def close(self) -> None:
        """Nothing: the link is the process's."""
