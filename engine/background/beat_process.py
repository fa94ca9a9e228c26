"""What a beat process does beside Celery's own loop: it runs the clock of schedules, and ends.

The clock has a thread of its own: Celery's loop waits for ever for a broker that is away, and for
every statement about periodic tasks of its own.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from celery.apps import beat
from django.db import connections

from engine.background.clock import RESTART_S, ScheduleClock
from engine.background.lasting_thread import LastingThread
from engine.background.planners import EnginePlanner, Planner
from engine.background.process_link import get_link
from engine.background.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from celery.beat import Service


class Beat(beat.Beat):
    """The program `celery beat`, which ends on SIGTERM and SIGINT whatever it just does."""

    def install_sync_handler(self, service: Service) -> None:
        """End the loop of `service` on the first signal; a second one ends the process at once.

        The base saves the schedule in the signal handler. That closes the connection under a
        statement that runs, whose error then takes the place of the exit.
        """

        def stop(*_: Any) -> None:
            _handle_signals(signal.SIG_DFL)
            service.stop()  # what catches the exit, too, comes to its end after this tick
            raise SystemExit

        _handle_signals(stop)


def _handle_signals(handler: signal.Handlers | Callable[..., None]) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, handler)


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
