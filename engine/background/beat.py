"""The scheduler of beat, embedded or a process: periodic tasks as rows of the database."""

from __future__ import annotations

from typing import Any

from celery import Celery
from django_celery_beat.models import PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from engine.background.broker import require_broker


class BeatScheduler(DatabaseScheduler):  # type: ignore[misc]
    """The scheduler of django-celery-beat, which notices the very first periodic task, too.

    Args:
        app: the Celery app.
        is_embedded: it runs in the engine, whose tasks need no broker.
        options: those of the base.
    """

    def __init__(self, app: Celery, *, is_embedded: bool = False, **options: Any) -> None:
        if not is_embedded:
            require_broker(app.conf.broker_url, "beat")
        super().__init__(app, **options)

    def setup_schedule(self) -> None:
        """Read the schedule."""
        # It compares the times of two changes: before the first there is none to compare with, and
        # the first task would be found by the full read every five minutes.
        if PeriodicTasks.last_change() is None:
            PeriodicTasks.update_changed()
        super().setup_schedule()
