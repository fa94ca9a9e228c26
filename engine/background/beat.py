"""The scheduler of beat, embedded or a process: periodic tasks as rows of the database.

Schedules of workers and of the console are none of its business: they have a clock of their own.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any, Final

import django.db
from celery import Celery
from django_celery_beat import schedulers
from django_celery_beat.models import PeriodicTasks

from engine.background.broker import require_broker
from engine.core.log_limit import LogLimit

logger = logging.getLogger(__name__)

COMPLAINT_INTERVAL_S: Final = 60.0

_complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)


class BeatScheduler(schedulers.DatabaseScheduler):  # type: ignore[misc]
    """The scheduler of django-celery-beat, with more patience and less noise.

    It notices the very first periodic task, too, outlives a database that is away whatever it just
    wanted of it, and tells of that in a line.

    Args:
        app: the Celery app.
        is_embedded: it runs in the engine, whose tasks need no broker.
        options: those of the base.
    """

    def __init__(self, app: Celery, *, is_embedded: bool = False, **options: Any) -> None:
        if not is_embedded:
            require_broker(app.conf.broker_url, "beat")
        schedulers.logger.addFilter(_is_no_outage)
        super().__init__(app, **options)

    def setup_schedule(self) -> None:
        """Read the schedule."""
        # It compares the times of two changes, and has none to compare with before the first, and
        # while it reads the schedule for the first time: what is changed then would be found by
        # the full read every five minutes.
        if PeriodicTasks.last_change() is None:
            PeriodicTasks.update_changed()
        self._last_timestamp = PeriodicTasks.last_change()
        super().setup_schedule()

    def tick(self, *args: Any, **options: Any) -> float:
        """Send a task that is due; return the seconds until the next look."""
        try:
            return float(super().tick(*args, **options))
        except django.db.Error as error:
            _complain(error)
            self._last_full_sync = dt.datetime.min  # what was to be read is read next time
            return float(self.max_interval)


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Let all pass but the stack of a database that is away, which the base logs at each look."""
    error = None if record.exc_info is None else record.exc_info[1]
    if not isinstance(error, django.db.Error):
        return True
    _complain(error)
    return False


def _complain(error: django.db.Error) -> None:
    _complaints.warning(f"periodic tasks wait for the database: {' '.join(str(error).split())}")
