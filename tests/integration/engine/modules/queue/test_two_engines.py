"""Two engines on one PostgreSQL: who delivers what, and how much at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio

from engine.modules.queue.module import QueueModule
from kv.stores.database import Database
from tests.integration.engine.modules.queue.support import FAST, QueueWorker
from tests.nodes import write_node
from tests.store_engine import running_setting
from tests.waiting import eventually


@pytest_asyncio.fixture
async def workers(postgres_alias: str) -> AsyncIterator[list[QueueWorker]]:
    """A worker of each engine."""
    place = ("postgres", postgres_alias)
    async with AsyncExitStack() as engines:
        settings = [
            await engines.enter_async_context(running_setting(place, (QueueModule, {})))
            for _ in range(2)
        ]
        for setting in settings:
            await write_node(setting.engine.service(Database))
        yield [QueueWorker(setting.engine) for setting in settings]


def taken(workers: list[QueueWorker]) -> list[tuple[QueueWorker, dict[str, Any]]]:
    """Return the deliveries since the last time, with who has got them."""
    return [
        (worker, frame)
        for worker in workers
        for frame in [*_handled(worker), *worker.take()]
        if frame["type"] == "invokefunction"
    ]


def _handled(worker: QueueWorker) -> list[dict[str, Any]]:
    handled, worker.handled = worker.handled, []
    return handled


async def test_concurrency_counts_in_both_and_every_message_comes_once(
    workers: list[QueueWorker],
) -> None:
    for worker in workers:
        worker.subscribe("orders", queue_config={**FAST, "concurrency": 2})
    await workers[0].until("orders", consumer_count=1)
    for number in range(30):
        workers[number % 2].void("enqueue", {"topic": "orders", "data": number})
    running: list[tuple[QueueWorker, dict[str, Any]]] = []
    done: list[int] = []

    async def is_over() -> bool:
        running.extend(taken(workers))
        assert len(running) <= 2
        if running:
            worker, event = running.pop(0)
            done.append(event["data"])
            worker.reply(event, None)
        return len(done) == 30

    await eventually(is_over, lambda: f"all of {sorted(done)}")
    await workers[0].until("orders", depth=0, delivered=30)
    assert sorted(done) == list(range(30))


async def test_an_engine_delivers_what_another_took_in_while_it_was_at_it(
    workers: list[QueueWorker],
) -> None:
    for worker in workers:
        worker.subscribe("orders", queue_config={"concurrency": 2})
    await workers[0].until("orders", consumer_count=1)
    await workers[0].enqueue("orders", "long")
    holder, first = await next_taken(workers)
    (other,) = [worker for worker in workers if worker is not holder]
    await other.enqueue("orders", "short")  # it may not: the holder concerns itself with it
    finder, second = await next_taken(workers)
    assert (finder, first["data"], second["data"]) == (holder, "long", "short")
    holder.reply(first, None)
    holder.reply(second, None)
    await holder.until("orders", depth=0)


async def next_taken(workers: list[QueueWorker]) -> tuple[QueueWorker, dict[str, Any]]:
    """Return the next delivery, the only one, with who has got it."""
    found: list[tuple[QueueWorker, dict[str, Any]]] = []

    async def is_there() -> bool:
        found.extend(taken(workers))
        return bool(found)

    await eventually(is_there, lambda: "a delivery")
    (only,) = found
    return only


async def test_an_engine_goes_on_with_a_queue_that_another_has_resumed(
    workers: list[QueueWorker],
) -> None:
    workers[0].subscribe("orders")
    await workers[0].result("engine::queue::pause", {"queue": "orders"})
    await workers[0].enqueue("orders", 1)
    await workers[1].result("engine::queue::resume", {"queue": "orders"})
    await workers[0].handle(1)


async def test_a_worker_that_leaves_one_engine_takes_nothing_from_the_other(
    workers: list[QueueWorker],
) -> None:
    for worker in workers:
        worker.subscribe("orders", queue_config={"concurrency": 3})
        await worker.until("orders", consumer_count=1)
    workers[0].leave()
    for number in range(3):
        await workers[1].enqueue("orders", number)
    events = await workers[1].events(3)
    assert sorted(event["data"] for event in events) == [0, 1, 2]
