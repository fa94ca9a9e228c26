"""What a beat process does beside Celery's own loop: it runs the clock of schedules.

A thread of its own: Celery's loop waits for ever for a broker that is away, and for every statement
about periodic tasks of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from engine.background.clock import RESTART_S, ScheduleClock
from engine.background.lasting_thread import LastingThread
from engine.background.planners import EnginePlanner, Planner
from engine.background.process_link import get_link
from engine.background.publisher import Publisher

if TYPE_CHECKING:
    from celery import Celery


def start_clock(app: Celery) -> None:
    """Start the threads; they end with the process, at any instant."""
    publisher = Publisher(lambda: app)
    publisher.start()
    clock = ScheduleClock(_open_planner, publisher.send_run_ticks)
    LastingThread("clock", "clock of schedules", clock.run, RESTART_S).start()


def _open_planner() -> Planner:
    if connections["default"].vendor == "sqlite":
        return EnginePlanner(get_link(), is_own=False)
    from engine.background.database_planner import DatabasePlanner  # psycopg is not always there

    return DatabasePlanner()
