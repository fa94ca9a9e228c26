"""The clock of schedules: a thread that has what is due planned ahead of its time, and then run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engine.background.alarm import Alarm
from engine.background.lasting_thread import LastingThread
from engine.background.planners import Planner
from engine.modules.cron.records import LEAD_MS, Planned
from kv.clock import now_ms

LEAST_PAUSE_S: Final = 0.1
"""Between two looks: what becomes due meanwhile is still planned ahead of its time."""

RESTART_S: Final = 1.0
"""After a look that failed."""


class ScheduleClock:
    """Looks whenever a schedule is about to be due, or has changed.

    Args:
        open_planner: gives what plans; called in the thread.
        send_run_ticks: asks for due ticks to be run by the engine of this address, which is empty
            for the one of III_URL; returns at once and never raises.
    """

    def __init__(
        self, open_planner: Callable[[], Planner], send_run_ticks: Callable[[str], None]
    ) -> None:
        self._open_planner = open_planner
        self._send_run_ticks = send_run_ticks
        self._alarm = Alarm()
        self._next_due_at: int | None = None

    def wake(self) -> None:
        """Let it look now; from any thread."""
        self._alarm.ring()

    def close(self) -> None:
        """Give back what it holds; its thread has ended."""
        self._alarm.close()

    def run(self, thread: LastingThread) -> None:
        """Look until the thread is to stop; who stops it has to `wake` this, too.

        Raises:
            PlanningFailed: run it again after a while.
        """
        planner = self._open_planner()
        try:
            while not thread.wants_stop.is_set():
                began = time.monotonic()
                pause_s = self._look(planner)
                thread.works()
                if pause_s > 0:
                    planner.wait(self._alarm, pause_s)
                    # Changes may come in quick succession.
                    thread.wants_stop.wait(began + LEAST_PAUSE_S - time.monotonic())
        finally:
            planner.close()

    def _look(self, planner: Planner) -> float:
        """Plan, have it run, and return how many seconds there are until the next look."""
        was_due = self._next_due_at is not None and now_ms() >= self._next_due_at - LEAD_MS
        planned = planner.plan()
        if planned is None:
            self._next_due_at = None
            return planner.idle_pause_s
        self._next_due_at = planned.next_due_at
        if planner.serves_own_engine:
            if planned.ticks or was_due:
                self._send_run_ticks("")
        elif planned.ticks:
            for url in planned.urls:
                self._send_run_ticks(url)
        return _pause_s(planned, planner.pause_s)


def _pause_s(planned: Planned, longest_s: float) -> float:
    """Return how long nothing more has to be planned; 0 if there is more than was planned now."""
    if planned.next_due_at is None:
        return longest_s
    left_s = (planned.next_due_at - LEAD_MS - now_ms()) / 1000
    if left_s <= 0 and planned.ticks:
        return 0.0
    return max(LEAST_PAUSE_S, min(left_s, longest_s))
