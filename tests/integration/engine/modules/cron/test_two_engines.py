"""Two engines on one PostgreSQL: each time is run once, by an engine that has the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from engine.core.engine import Engine
from engine.modules.cron import manual, upkeep
from kv.stores.database import Database
from tests.integration.engine.modules.cron.support import (
    NEVER,
    CronWorker,
    internal,
    running_engine,
)
from tests.nodes import write_node
from tests.waiting import eventually


@pytest_asyncio.fixture
async def engines(postgres_alias: str) -> AsyncIterator[list[Engine]]:
    """Two engines, each with a clock of its own."""
    async with AsyncExitStack() as stack:
        engines = [
            await stack.enter_async_context(running_engine(("postgres", postgres_alias)))
            for _ in range(2)
        ]
        for engine in engines:
            await write_node(engine.service(Database))
        yield engines


@pytest_asyncio.fixture
async def workers(engines: list[Engine]) -> list[CronWorker]:
    """A worker of each engine."""
    return [CronWorker(engine) for engine in engines]


def taken(workers: list[CronWorker]) -> list[tuple[CronWorker, dict[str, Any]]]:
    """Return the calls since the last time, with who has got them."""
    found = []
    for worker in workers:
        frames, worker.handled = [*worker.handled, *worker.take()], []
        found += [(worker, frame) for frame in frames if frame["type"] == "invokefunction"]
    return found


async def test_replicas_on_two_engines_fire_once(workers: list[CronWorker]) -> None:
    for worker in workers:
        worker.schedule()
    times: list[str] = []

    async def are_enough() -> bool:
        for worker, event in taken(workers):
            times.append(event["data"]["scheduled_time"])
            worker.reply(event, None)
        return len(times) >= 3

    await eventually(are_enough, lambda: f"three runs, got {times}")
    assert len(times) == len(set(times))
    assert len(await workers[0].schedules()) == 1


async def test_a_run_on_one_engine_holds_back_the_other(workers: list[CronWorker]) -> None:
    for worker in workers:
        worker.schedule()
    events: list[tuple[CronWorker, dict[str, Any]]] = []

    async def is_called() -> bool:
        events.extend(taken(workers))
        return bool(events)

    await eventually(is_called)
    await workers[0].tick(state="skipped", reason="overlap")
    events.extend(taken(workers))
    assert len(events) == 1
    worker, event = events.pop()
    worker.reply(event, None)
    await eventually(is_called)


async def test_the_engine_whose_worker_is_left_goes_on(workers: list[CronWorker]) -> None:
    for worker in workers:
        worker.schedule(schedule_id="s")
    await workers[1].until_state("active")
    workers[0].leave()
    await workers[1].handle(2)
    assert (await workers[1].only_schedule())["state"] == "active"


async def test_a_run_by_hand_finds_the_engine_that_has_the_schedule(
    workers: list[CronWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.1)
    monkeypatch.setattr(manual, "LOOK_S", 0.1)
    workers[1].schedule(NEVER, schedule_id="s")
    await workers[1].only_schedule()
    asked = asyncio.create_task(workers[0].ask("run_now", schedule_id="s", wait=True))
    await workers[1].handle(1)
    assert (await asked)["state"] == "done"


async def test_a_persons_schedule_runs_where_its_function_is(
    workers: list[CronWorker], engines: list[Engine]
) -> None:
    workers[1].function("report")
    await internal(
        engines[0],
        "save",
        {"function_id": "report", "expression": "* * * * * * *", "is_new": True},
    )
    await workers[1].handle(2)
    assert taken(workers[:1]) == []
