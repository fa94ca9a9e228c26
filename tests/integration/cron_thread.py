"""An engine with schedules in a thread of its own, a worker of it, and rows to look at."""

from __future__ import annotations

from typing import Any, Final

from engine.core.engine import Engine
from engine.core.tasks import TaskSender
from engine.models import Schedule, Tick
from engine.modules.cron.module import CronModule
from engine.modules.worker.module import WorkerModule
from kv.clock import now_ms
from kv.stores.database import Database
from tests.acceptance.waiting import wait_until
from tests.fakes import FakeWorker, make_engine
from tests.integration.console.conftest import EngineThread
from tests.queue_engine import LoopTasks

SELDOM: Final = "0 0 6 1 1 * *"
"""Not in the time of any test."""


class CronThread(EngineThread):
    """An engine with the cron module, on the database of the tests; nothing plans for it."""

    def __init__(self) -> None:
        self._database = Database.open(is_sqlite=True, description="the database of the tests")
        super().__init__()

    def _build(self) -> Engine:
        engine = make_engine((WorkerModule, {"port": 49134}), (CronModule, {}))
        engine.provide(self._database)
        engine.provide(LoopTasks(engine), TaskSender)
        return engine

    async def _start(self) -> None:
        self._database.start()
        await self.engine.start()

    async def _stop(self) -> None:
        await self.engine.stop(0)
        await self._database.stop()


class Office:
    """A worker with schedules."""

    def __init__(self, thread: CronThread) -> None:
        self._thread = thread
        self._worker: FakeWorker = thread.connect("office")
        self._waiting: list[dict[str, Any]] = []

    def offer(self, function_id: str) -> None:
        self._thread.do(lambda: self._worker.function(function_id))

    def schedule(self, schedule_id: str, function_id: str, **config: Any) -> Schedule:
        """Bind a function to an expression; return the row as soon as it is there."""
        config = {"expression": SELDOM, "schedule_id": schedule_id, **config}
        self._thread.do(
            lambda: self._worker.trigger(schedule_id, "cron", function_id, config=config)
        )
        rows = Schedule.objects.filter(schedule_id=schedule_id)
        wait_until(rows.exists, "the schedule is stored")
        return rows.get()

    def next_call(self) -> dict[str, Any]:
        """Wait for a call, and answer it."""

        def take() -> bool:
            frames = self._thread.do(self._worker.take)
            self._waiting += [each for each in frames if each["type"] == "invokefunction"]
            return bool(self._waiting)

        wait_until(take, "a call comes")
        frame = self._waiting.pop(0)
        self._thread.do(lambda: self._worker.result(frame, None))
        return frame


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
