"""What several engines and clocks on one PostgreSQL owe each other."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from django.db import connections

from engine.models import EngineNode
from engine.modules.cron.store import planning, store
from engine.modules.cron.store.store import CronStore
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from tests.cron_stores import (
    SECOND,
    START_MS,
    Clock,
    anything,
    attach,
    claim,
    done,
    nothing,
    plan_until,
    rows,
    run_all,
    schedule_row,
    settings,
)
from tests.nodes import delete_node, write_node


@pytest_asyncio.fixture
async def databases(postgres_alias: str) -> AsyncIterator[tuple[Database, Database]]:
    """Two engines' views of one database; both engines live."""
    both = [
        Database.open(is_sqlite=False, description="test", alias=postgres_alias) for _ in range(2)
    ]
    for database in both:
        database.start()
        await write_node(database)
    yield both[0], both[1]
    for database in both:
        await database.stop()


@pytest_asyncio.fixture
async def stores(databases: tuple[Database, Database], clock: Clock) -> tuple[CronStore, CronStore]:
    one, other = (CronStore(database) for database in databases)
    for each in (one, other):
        await each.start()
    return one, other


# --- two engines ----------------------------------------------------------------------------------


async def test_a_schedule_of_two_engines_fires_once(
    stores: tuple[CronStore, CronStore], clock: Clock, postgres_alias: str
) -> None:
    one, other = stores
    for number in range(300):
        made = one.attach(settings(f"s{number}")), other.attach(settings(f"s{number}"))
        assert (await made[0]).id == (await made[1]).id
    claimed: Counter[int] = Counter()
    for second in range(1, 6):
        clock.now = START_MS + second * SECOND - 300
        plans = one.plan(), other.plan()
        assert sum([(await each).ticks for each in plans]) == 300
        for each in await asyncio.gather(claim(one), claim(other)):
            claimed.update(tick.id for tick in each)
            await (one if each else other).finish([done(tick) for tick in each])
    assert len(claimed) == 1_500
    assert set(claimed.values()) == {1}


async def test_the_end_of_one_engines_trigger_leaves_the_schedule_to_the_other(
    stores: tuple[CronStore, CronStore], clock: Clock, postgres_alias: str
) -> None:
    one, other = stores
    known = await attach(one)
    await attach(other)
    await one.end(known.id)
    await plan_until(one, clock, 1)
    assert await claim(one) == []
    assert len(await claim(other)) == 1
    await other.detach(known.id)
    assert (await schedule_row(postgres_alias)).detached_at == clock.now


async def test_a_run_that_is_under_way_elsewhere_is_not_overlapped(
    stores: tuple[CronStore, CronStore], clock: Clock
) -> None:
    """The engine that has the run skips the next one, though its worker has moved."""
    one, other = stores
    known = await attach(one)
    await plan_until(one, clock, 1)
    (running,) = await claim(one)
    await one.detach(known.id)
    await attach(other)
    await plan_until(one, clock, 2)
    assert await claim(other) == []
    assert await other.settle(anything) is False
    assert await one.settle(anything) is True
    (skipped,) = await claim(one)
    assert skipped.scheduled_at == START_MS + 2 * SECOND
    await one.finish([done(running), done(skipped)])
    await plan_until(one, clock, 3)
    assert await run_all(other) == [START_MS + 3 * SECOND]


async def test_runs_that_may_overlap_are_claimed_by_any_owner(
    stores: tuple[CronStore, CronStore], clock: Clock
) -> None:
    one, other = stores
    known = await attach(one, overlap="allow")
    await plan_until(one, clock, 1)
    await claim(one)
    await one.detach(known.id)
    await attach(other, overlap="allow")
    await plan_until(one, clock, 2)
    assert await claim(one) == []
    assert await run_all(other) == [START_MS + 2 * SECOND]


async def test_what_a_dead_engine_had_is_taken_from_it(
    stores: tuple[CronStore, CronStore],
    databases: tuple[Database, Database],
    clock: Clock,
    postgres_alias: str,
) -> None:
    one, other = stores
    await attach(one)
    await attach(one, "again", repeat_interrupted=True)
    await attach(other, "again", repeat_interrupted=True)
    await plan_until(one, clock, 1)
    await claim(one)
    await other.settle(anything)
    assert await rows(postgres_alias) == [(1, "running", "", 1)]
    await delete_node(databases[0])
    await other.settle(anything)
    assert await rows(postgres_alias) == [(1, "interrupted", "", 1)]
    assert (await schedule_row(postgres_alias)).detached_at == clock.now
    assert (await schedule_row(postgres_alias, "again")).detached_at is None
    assert await run_all(other) == [START_MS + SECOND]


async def test_an_engine_that_was_taken_for_dead_owns_its_schedules_again(
    stores: tuple[CronStore, CronStore],
    databases: tuple[Database, Database],
    clock: Clock,
    postgres_alias: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = stores
    await attach(one)
    await delete_node(databases[0])
    await other.settle(anything)
    assert (await schedule_row(postgres_alias)).detached_at == clock.now
    await write_node(databases[0])
    monkeypatch.setattr(store, "OWNED_S", -1.0)  # it was held up for longer than that
    await one.settle(anything)
    assert (await schedule_row(postgres_alias)).detached_at is None
    await plan_until(one, clock, 1)
    assert await run_all(one) == [START_MS + SECOND]


async def test_the_engines_that_may_run_what_is_due_are_named(
    stores: tuple[CronStore, CronStore],
    databases: tuple[Database, Database],
    clock: Clock,
    postgres_alias: str,
) -> None:
    one, other = stores
    for database, url in zip(databases, ("http://one", "http://other"), strict=True):
        await _set_url(database, postgres_alias, url)
    await attach(one)
    await attach(other, "b")
    clock.now += 500
    assert (await one.plan()).urls == ["http://one", "http://other"]
    await delete_node(databases[1])
    await one.save(settings("p"), is_new=True)
    clock.now += SECOND
    assert (await one.plan()).urls == ["", "http://one"]
    await plan_until(one, clock, 5)
    await one.settle(nothing)
    assert (await rows(postgres_alias, "b"))[0] == (1, "missed", "no_worker", 1)


async def _set_url(database: Database, alias: str, url: str) -> None:
    await EngineNode.objects.using(alias).filter(id=database.node_id).aupdate(url=url)


# --- two clocks -----------------------------------------------------------------------------------


@contextmanager
def connection_of(alias: str) -> Iterator[StoreConnection]:
    """Give this thread's connection, and close it at the end."""
    connection = StoreConnection(connections[alias])
    try:
        yield connection
    finally:
        connection.close()


async def test_two_clocks_and_two_engines_give_every_time_one_tick(
    stores: tuple[CronStore, CronStore], clock: Clock, postgres_alias: str
) -> None:
    """The clocks look at random moments of ten seconds, each in a thread of its own."""
    one, other = stores
    names = [f"s{number}" for number in range(100)]
    for name in names:
        await attach(one if name < "s5" else other, name)
    ended = threading.Event()
    planned: Counter[int] = Counter()
    failures: list[Exception] = []

    def beat(number: int) -> None:
        with connection_of(postgres_alias) as connection:
            while not ended.is_set():
                try:
                    planned[number] += planning.plan(connection, clock.now).ticks
                except Exception as error:
                    failures.append(error)
                    return

    beats = [threading.Thread(target=beat, args=(number,)) for number in range(2)]
    for thread in beats:
        thread.start()
    called: Counter[tuple[str, int]] = Counter()
    for step in range(1, 101):
        clock.now = START_MS + step * 100
        for each in (one, other):
            ticks = await claim(each)
            called.update((tick.schedule.settings.schedule_id, tick.scheduled_at) for tick in ticks)
            await each.finish([done(tick) for tick in ticks])
    await asyncio.get_running_loop().run_in_executor(None, _join, ended, beats)
    assert failures == []
    for each in (one, other):
        await each.plan()
        ticks = await claim(each)
        called.update((tick.schedule.settings.schedule_id, tick.scheduled_at) for tick in ticks)
        await each.finish([done(tick) for tick in ticks])
    times = [START_MS + second * SECOND for second in range(1, 11)]
    assert called == Counter({(name, time): 1 for name in names for time in times})
    assert await rows(postgres_alias, "s99") == [(n, "done", "", 1) for n in range(1, 11)]


def _join(ended: threading.Event, threads: list[threading.Thread]) -> None:
    ended.set()
    for thread in threads:
        thread.join()


async def test_a_clock_leaves_out_what_another_one_plans(
    stores: tuple[CronStore, CronStore], clock: Clock, postgres_alias: str
) -> None:
    await attach(stores[0])
    clock.now += 500

    def look_twice() -> tuple[int, int]:
        with connection_of(postgres_alias) as connection, connection.transaction():
            first = planning.plan_some(connection, clock.now).ticks
            thread_made: list[int] = []

            def look() -> None:
                with connection_of(postgres_alias) as own:
                    thread_made.append(planning.plan(own, clock.now).ticks)

            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            return first, thread_made[0]

    assert await _in_thread(look_twice) == (1, 0)
    assert await rows(postgres_alias) == [(1, "due", "", 1)]


async def test_a_clock_that_was_set_back_begins_again(
    stores: tuple[CronStore, CronStore], clock: Clock, postgres_alias: str
) -> None:
    await attach(stores[0], expression="0 0 * * * * *")
    before = START_MS - 7_200 * SECOND

    def rewind() -> None:
        with connection_of(postgres_alias) as connection:
            planning.rewind(connection, before)

    await _in_thread(rewind)
    next_at = (await schedule_row(postgres_alias)).next_at
    assert next_at is not None
    assert before < next_at <= before + 3_600 * SECOND


async def _in_thread(work: Callable[[], object]) -> object:
    return await asyncio.get_running_loop().run_in_executor(None, work)
