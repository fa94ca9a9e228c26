"""An engine with schedules in a thread of its own, a worker of it, and rows to look at."""

from __future__ import annotations

from typing import Any, Final

from engine.core.modules import Module
from engine.models import Schedule, Tick
from engine.modules.cron.module import CronModule
from kv.clock import now_ms
from tests.integration.module_thread import ModuleThread, ThreadWorker
from tests.waiting import wait_until

SELDOM: Final = "0 0 6 1 1 * *"
"""Not in the time of any test."""


class CronThread(ModuleThread):
    """An engine with the cron module; nothing plans for it."""

    @property
    def module(self) -> tuple[type[Module], dict[str, Any]]:
        return CronModule, {}


class Office(ThreadWorker):
    """A worker with schedules."""

    def __init__(self, thread: CronThread) -> None:
        super().__init__(thread, "office")

    def schedule(self, schedule_id: str, function_id: str, **config: Any) -> Schedule:
        """Bind a function to an expression; return the row as soon as it is there."""
        config = {"expression": SELDOM, "schedule_id": schedule_id, **config}
        self.thread.do(lambda: self.worker.trigger(schedule_id, "cron", function_id, config=config))
        rows = Schedule.objects.filter(schedule_id=schedule_id)
        wait_until(rows.exists, "the schedule is stored")
        return rows.get()


def add_schedule(schedule_id: str = "nightly", **fields: Any) -> Schedule:
    """Write the row of a person's schedule, due in an hour unless said otherwise."""
    soon = now_ms() + 3_600_000
    values = {
        "origin": Schedule.Origin.PERSON,
        "function_id": "reports::make",
        "expression": SELDOM,
        "next_at": soon,
        "due_at": soon,
        "created_at": now_ms(),
        **fields,
    }
    return Schedule.objects.create(schedule_id=schedule_id, **values)


def add_tick(
    schedule: Schedule, scheduled_at: int, state: Tick.State = Tick.State.DONE, **fields: Any
) -> Tick:
    """Write the row of a tick that began 5 ms late and took 20 ms, if it ran at all."""
    began = state in (Tick.State.CLAIMED, Tick.State.DONE, Tick.State.FAILED)
    ended = state not in (Tick.State.DUE, Tick.State.CLAIMED)
    values = {
        "run_at": scheduled_at,
        "started_at": scheduled_at + 5 if began else None,
        "finished_at": scheduled_at + 25 if ended else None,
        **fields,
    }
    return Tick.objects.create(schedule=schedule, scheduled_at=scheduled_at, state=state, **values)
