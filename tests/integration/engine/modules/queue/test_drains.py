"""When tasks are sent, what becomes of lost ones, and what happens when the store fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from engine.core import tasks as core_tasks
from engine.core.deferred import Deferred
from engine.core.engine import Engine
from engine.core.tasks import TaskSender
from engine.modules.queue import drains
from engine.modules.queue.adapters.base import Outcome, Turn
from engine.modules.queue.adapters.memory import MemoryQueueStore
from engine.modules.queue.module import QueueModule
from engine.modules.worker.module import WorkerModule
from kv.stores.executor import StoreUnavailable
from tests.fakes import make_engine
from tests.integration.engine.modules.queue.support import FAST, QueueWorker
from tests.queue_engine import LoopTasks
from tests.waiting import eventually


class FlakyStore(MemoryQueueStore):
    """A store whose turns fail as long as `is_away`; it counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.turns = 0

    def turn(self, subscription_id: int, outcomes: Sequence[Outcome], limit: int) -> Deferred[Turn]:
        self.turns += 1
        if self.is_away:
            failed: Deferred[Turn] = Deferred()
            failed.reject(StoreUnavailable("away"))
            return failed
        return super().turn(subscription_id, outcomes, limit)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FlakyStore:
    store = FlakyStore()
    monkeypatch.setattr("engine.modules.queue.module.open_store", lambda *_: store)
    return store


@pytest.fixture
async def engine(store: FlakyStore) -> AsyncIterator[Engine]:
    running = make_engine((WorkerModule, {}), (QueueModule, {}))
    running.provide(LoopTasks(running), TaskSender)
    await running.start()
    yield running
    await running.stop(grace_s=0)


@pytest.fixture
def tasks(engine: Engine) -> LoopTasks:
    found = engine.service(TaskSender)  # type: ignore[type-abstract]
    assert isinstance(found, LoopTasks)
    return found


@pytest.fixture
def worker(engine: Engine) -> QueueWorker:
    return QueueWorker(engine)


async def quiet(tasks: LoopTasks) -> None:
    """Wait until no drain is on its way or under way."""
    await until(lambda: not tasks.is_busy, "no drain")
    tasks.sent.clear()


async def until(condition: Callable[[], bool], wanted: str) -> None:
    async def holds() -> bool:
        return condition()

    await eventually(holds, lambda: wanted)


async def test_all_that_is_enqueued_in_one_go_is_one_task(
    worker: QueueWorker, tasks: LoopTasks
) -> None:
    for topic in ("a", "b", "c"):
        worker.subscribe(topic)
    await quiet(tasks)
    for number in range(30):
        worker.void("enqueue", {"topic": "abc"[number % 3], "data": number})
    await worker.events(30)
    assert [len(ids) for ids in tasks.sent] == [3]


async def test_a_message_soon_after_another_needs_no_task(
    worker: QueueWorker, tasks: LoopTasks
) -> None:
    worker.subscribe("a")
    await quiet(tasks)
    for number in range(5):
        worker.void("enqueue", {"topic": "a", "data": number})
        await worker.handle(number)
    assert len(tasks.sent) == 1


async def test_a_lost_task_is_sent_again(
    worker: QueueWorker, tasks: LoopTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_tasks, "LOST_AFTER_S", 0.05)
    worker.subscribe("a")
    await quiet(tasks)
    tasks.is_lossy = True
    worker.void("enqueue", {"topic": "a", "data": 1})
    await until(lambda: len(tasks.sent) >= 2, "a second task")
    tasks.is_lossy = False
    await worker.handle(1)


async def test_lost_tasks_hold_up_no_others_for_ever(
    worker: QueueWorker, tasks: LoopTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_tasks, "LOST_AFTER_S", 0.2)
    topics = [f"t{number}" for number in range(drains.MAX_OUTSTANDING + 2)]
    for topic in topics:
        worker.subscribe(topic)
    await quiet(tasks)
    tasks.is_lossy = True
    for topic in topics:
        worker.void("enqueue", {"topic": topic, "data": topic})
        await asyncio.sleep(0)  # a task of its own for each
        await asyncio.sleep(0)
    assert len(tasks.sent) == drains.MAX_OUTSTANDING
    tasks.is_lossy = False
    events = await worker.events(len(topics))
    assert sorted(event["data"] for event in events) == topics


async def test_slow_handlers_have_nothing_claimed_ahead_and_no_task_meanwhile(
    worker: QueueWorker, tasks: LoopTasks
) -> None:
    worker.subscribe("a", queue_config={"concurrency": 2})
    for number in range(10):
        worker.void("enqueue", {"topic": "a", "data": number})
    await worker.events(2)
    await quiet(tasks)
    stats = await worker.stats("a")
    assert (stats["in_flight"], stats["waiting"], tasks.sent) == (2, 8, [])


async def test_a_drain_ends_after_its_slice_and_the_next_goes_on(
    worker: QueueWorker, tasks: LoopTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drains, "SLICE_S", 0.02)
    monkeypatch.setattr(drains, "RENEWAL_S", 0.015)
    worker.subscribe("a", queue_config={"concurrency": 1})
    await quiet(tasks)
    for number in range(200):
        worker.void("enqueue", {"topic": "a", "data": number})
    await worker.handle(*range(200))
    assert len(tasks.sent) > 2


async def test_outcomes_wait_for_the_store_and_nothing_is_called_twice(
    worker: QueueWorker, store: FlakyStore
) -> None:
    worker.subscribe("a", queue_config=FAST)
    worker.void("enqueue", {"topic": "a", "data": 1})
    event = await worker.next()
    store.is_away = True
    store.turns = 0
    worker.reply(event, None)
    await until(lambda: store.turns >= 2, "a second try")
    assert store.turns <= 3  # it waits in between
    store.is_away = False
    await worker.until("a", depth=0, delivered=1)
    assert worker.take() == []


async def test_what_is_enqueued_while_claims_fail_comes_later(
    worker: QueueWorker, store: FlakyStore
) -> None:
    worker.subscribe("a", queue_config=FAST)
    await worker.until("a", consumer_count=1)
    store.is_away = True
    worker.void("enqueue", {"topic": "a", "data": 1})
    await until(lambda: store.turns >= 2, "a try")
    store.is_away = False
    await worker.handle(1)


async def test_a_stopping_engine_starts_nothing_and_gives_back_what_it_has_claimed(
    engine: Engine, worker: QueueWorker, store: FlakyStore
) -> None:
    worker.subscribe("a", queue_config={"concurrency": 1})
    for number in range(50):
        worker.void("enqueue", {"topic": "a", "data": number})
    await worker.handle(*range(20))  # fast enough for claims ahead
    running = await worker.next()
    stopping = asyncio.ensure_future(engine.stop(grace_s=5))
    await asyncio.sleep(0)
    worker.reply(running, None)
    await stopping
    (stats,) = [each for each in store.queues().value if each.name.name == "a"]
    assert (stats.delivered, stats.in_flight, stats.depth) == (21, 0, 29)
    assert [frame for frame in worker.take() if frame["type"] == "invokefunction"] == []


async def test_a_call_that_outlives_the_grace_has_failed(
    engine: Engine, worker: QueueWorker, store: FlakyStore
) -> None:
    worker.subscribe("a")
    worker.void("enqueue", {"topic": "a", "data": 1})
    await worker.next()
    await engine.stop(grace_s=0)
    (stats,) = [each for each in store.queues().value if each.name.name == "a"]
    assert (stats.in_flight, stats.delayed + stats.waiting, stats.failed) == (0, 1, 1)
