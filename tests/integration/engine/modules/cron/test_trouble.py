"""What happens when a task is lost, the store fails, the engine stops or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine.core import in_step
from engine.core import tasks as core_tasks
from engine.core.deferred import Deferred
from engine.core.engine import Engine
from engine.core.tasks import TaskSender
from engine.modules.cron import upkeep
from engine.modules.cron.records import Claims, Ended, KnownSchedule, Settings
from engine.modules.cron.store.store import CronStore
from kv.stores.executor import StoreUnavailable
from tests.integration.engine.modules.cron.support import (
    NEVER,
    CronWorker,
    internal,
    plan,
    run_ticks,
    running_engine,
)
from tests.queue_engine import LoopTasks
from tests.waiting import eventually


def tasks_of(engine: Engine) -> LoopTasks:
    found = engine.service(TaskSender)  # type: ignore[type-abstract]
    assert isinstance(found, LoopTasks)
    return found


async def test_a_lost_task_is_sent_again(
    sqlite_cron: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.05)
    monkeypatch.setattr(core_tasks, "LOST_AFTER_S", 0.05)
    worker = CronWorker(sqlite_cron)
    worker.schedule(NEVER, schedule_id="s")
    await worker.only_schedule()
    tasks = tasks_of(sqlite_cron)
    tasks.is_lossy = True
    await worker.ask("run_now", schedule_id="s")
    assert (await worker.ticks())[0]["state"] == "due"
    tasks.is_lossy = False
    await worker.handle(1)


class FlakyStore:
    """Makes the outcomes or the claims of a store fail while it is away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = False
        finish, claim = CronStore.finish, CronStore.claim

        def flaky_finish(store: CronStore, ended: Sequence[Ended]) -> Deferred[int]:
            return self._failed() if self.is_away else finish(store, ended)

        def flaky_claim(store: CronStore, can_run: Callable[[str, str], bool]) -> Deferred[Claims]:
            return self._failed() if self.is_away else claim(store, can_run)

        monkeypatch.setattr(CronStore, "finish", flaky_finish)
        monkeypatch.setattr(CronStore, "claim", flaky_claim)

    @staticmethod
    def _failed() -> Deferred[Any]:
        failed: Deferred[Any] = Deferred()
        failed.reject(StoreUnavailable("away"))
        return failed


async def test_outcomes_wait_for_the_store_and_nothing_is_called_twice(
    sqlite_cron: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.05)
    store = FlakyStore(monkeypatch)
    worker = CronWorker(sqlite_cron)
    worker.schedule(NEVER, schedule_id="s")
    await worker.only_schedule()
    started = await worker.ask("run_now", schedule_id="s")
    event = await worker.next()
    store.is_away = True
    worker.reply(event, None)

    async def is_told() -> bool:
        return "outcomes of ticks wait for the store: away" in caplog.messages

    await eventually(is_told)
    assert (await worker.ticks())[0]["state"] == "running"
    store.is_away = False
    tick = await worker.tick(tick_id=started["tick_id"], state="done")
    assert tick["error"] is None
    assert worker.handled == []


async def test_a_stopping_engine_gives_back_what_it_has_not_begun(
    database: tuple[str, str],
) -> None:
    async with running_engine(database, has_clock=False) as engine:
        worker = CronWorker(engine)
        worker.schedule("* * * * * * *", schedule_id="s")
        await worker.only_schedule()

        async def is_claimed() -> bool:
            # 700 ms before its time: it waits in the engine, which stops meanwhile.
            return bool((await plan(engine))["ticks"] and await run_ticks(engine))

        await eventually(is_claimed)
        await engine.stop(grace_s=0)
        assert [each for each in worker.take() if each["type"] == "invokefunction"] == []
    async with running_engine(database, has_clock=False) as engine:
        ticks = await CronWorker(engine).ticks()
        assert [each["state"] for each in ticks] == ["due"]


@pytest.mark.parametrize("repeat", [False, True])
async def test_what_runs_when_the_engine_stops_is_interrupted_or_repeated(
    database: tuple[str, str], repeat: bool
) -> None:
    async with running_engine(database) as engine:
        worker = CronWorker(engine)
        worker.schedule(NEVER, schedule_id="s", repeat_interrupted=repeat)
        await worker.only_schedule()
        await worker.ask("run_now", schedule_id="s")
        await worker.next()
    async with running_engine(database) as engine:
        worker = CronWorker(engine)
        if not repeat:
            tick = await worker.tick(state="interrupted")
            assert tick["error"] == "the engine stopped before it had ended"
            return
        worker.schedule(NEVER, schedule_id="s", repeat_interrupted=True)
        (event,) = await worker.handle(1)
        assert event["data"]["manual"] is True
        await worker.tick(state="done")


async def test_a_schedule_is_written_down_as_soon_as_the_store_is_back(
    sqlite_cron: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_step, "RETRY_S", 0.01)
    failures: list[Exception] = [StoreUnavailable("away")] * 3
    attach = CronStore.attach

    def flaky(store: CronStore, settings: Settings) -> Deferred[KnownSchedule]:
        if not failures:
            return attach(store, settings)
        failed: Deferred[KnownSchedule] = Deferred()
        failed.reject(failures.pop())
        return failed

    monkeypatch.setattr(CronStore, "attach", flaky)
    worker = CronWorker(sqlite_cron)
    worker.schedule(schedule_id="s")
    await worker.handle(1)
    assert caplog.messages == ["the schedule s is not written down yet: away"]


async def test_a_worker_cannot_take_the_id_of_a_persons_schedule(
    sqlite_cron: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    worker = CronWorker(sqlite_cron)
    await internal(
        sqlite_cron,
        "save",
        {"schedule_id": "s", "function_id": "f", "expression": NEVER, "is_new": True},
    )
    worker.schedule("@daily", schedule_id="s")

    async def is_told() -> bool:
        return any("the schedule s is not written down yet" in each for each in caplog.messages)

    await eventually(is_told)
    assert (await worker.only_schedule())["expression"] == NEVER


async def test_an_upkeep_that_fails_goes_on(
    sqlite_cron: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.02)
    failures: list[Exception] = [StoreUnavailable("away"), RuntimeError("odd")]
    settle = CronStore.settle

    def flaky(store: CronStore, can_run: Callable[[str, str], bool]) -> Deferred[bool]:
        if not failures:
            return settle(store, can_run)
        failed: Deferred[bool] = Deferred()
        failed.reject(failures.pop(0))
        return failed

    monkeypatch.setattr(CronStore, "settle", flaky)
    async with asyncio.timeout(10):
        while failures:
            await asyncio.sleep(0.01)
    assert "schedules were not looked after, next try soon: away" in caplog.messages
    worker = CronWorker(sqlite_cron)
    worker.schedule()
    await worker.handle(1)
    assert "schedules could not be looked after" in caplog.messages
