"""What the store of schedules owes, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from engine.core.deferred import Deferred
from engine.modules.cron.dialect.field_parsing import InvalidExpression
from engine.modules.cron.dialect.zones import UnknownZone
from engine.modules.cron.errors import CronError, ScheduleExists, ScheduleNotFound
from engine.modules.cron.records import LEAD_MS, TickState
from engine.modules.cron.store import sweeping
from engine.modules.cron.store.claims import CLAIMED_AT_ONCE
from engine.modules.cron.store.store import CronStore
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from kv.stores.executor import Executor, StoreUnavailable
from tests.cron_stores import (
    EVERY_SECOND,
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

T = TypeVar("T")

SECOND = 1_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

EVERY_MINUTE = "0 * * * * * *"
FIRST_MINUTE = START_MS + 40 * SECOND
"""The first whole minute after the start."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def alias(kind: str, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{kind}_alias"))


@pytest_asyncio.fixture
async def database(kind: str, alias: str) -> AsyncIterator[Database]:
    database = Database.open(is_sqlite=kind == "sqlite", description="test", alias=alias)
    database.start()
    yield database
    await database.stop()


class LosingAnswers:
    """A database that goes away as soon as it has committed."""

    def __init__(self, writer: Executor) -> None:
        self._writer = writer

    def run(self, function: Callable[[StoreConnection], T]) -> Deferred[T]:
        lost: Deferred[T] = Deferred()
        self._writer.run(function).then(lambda _: lost.reject(StoreUnavailable("gone")))
        return lost


@pytest_asyncio.fixture
async def store(database: Database, clock: Clock) -> CronStore:
    store = CronStore(database)
    await store.start()
    return store


# --- schedules come and go ------------------------------------------------------------------------


async def test_a_schedule_is_due_from_the_next_time_on(store: CronStore, alias: str) -> None:
    known = await attach(store, expression=EVERY_MINUTE, payload=b'{"a": "\\u00e9"}')
    assert known.settings == settings(expression=EVERY_MINUTE, payload=b'{"a": "\\u00e9"}')
    assert (known.next_at, known.is_persons, known.is_paused) == (FIRST_MINUTE, False, False)
    row = await schedule_row(alias)
    assert (row.next_at, row.due_at, row.created_at) == (FIRST_MINUTE, FIRST_MINUTE, START_MS)


async def test_triggers_of_one_identity_are_one_schedule(store: CronStore) -> None:
    first, other = store.attach(settings()), store.attach(settings(timeout_ms=5))
    assert (await first).id == (await other).id
    assert (await attach(store, timeout_ms=7)).settings.timeout_ms == 7
    assert (await store.list()).total == 1


async def test_jitter_is_drawn_once(store: CronStore, alias: str) -> None:
    await attach(store, expression=EVERY_MINUTE, jitter_ms=10 * SECOND)
    drawn = (await schedule_row(alias)).due_at
    assert drawn is not None
    assert FIRST_MINUTE <= drawn <= FIRST_MINUTE + 10 * SECOND
    await attach(store, expression=EVERY_MINUTE, jitter_ms=10 * SECOND)
    assert (await schedule_row(alias)).due_at == drawn


async def test_many_changes_at_once_fail_alone(store: CronStore) -> None:
    await store.save(settings("person"), is_new=True)
    wanted = [
        store.attach(settings("a")),
        store.attach(settings("wrong", expression="* * *")),
        store.attach(settings("nowhere", timezone="Europe/Atlantis")),
        store.attach(settings("person")),
        store.attach(settings("b")),
    ]
    assert (await wanted[0]).id != (await wanted[4]).id
    for deferred, error in zip(
        wanted[1:4], (InvalidExpression, UnknownZone, ScheduleExists), strict=True
    ):
        with pytest.raises(error):
            await deferred
    assert (await store.list()).total == 3


async def test_an_ended_schedule_is_not_due_and_leaves_no_tick_ahead_of_its_time(
    store: CronStore, clock: Clock, alias: str
) -> None:
    known = await attach(store)
    clock.now += 500
    await store.plan()
    await store.end(known.id)
    assert await rows(alias) == []
    assert (await store.plan()).next_due_at is None
    row = await schedule_row(alias)
    assert (row.ended_at, row.next_at, row.planned - row.pruned) == (clock.now, None, 0)


async def test_a_schedule_that_is_registered_again_at_once_loses_no_time(
    store: CronStore, clock: Clock
) -> None:
    known = await attach(store)
    clock.now += 500
    await store.plan()
    ended, again = store.end(known.id), store.attach(settings())
    await ended
    assert (await again).next_at == START_MS + SECOND
    await store.plan()
    assert await run_all(store) == [START_MS + SECOND]


async def test_what_was_due_when_a_schedule_ended_is_missed(
    store: CronStore, clock: Clock, alias: str
) -> None:
    known = await attach(store, misfire="once")
    await plan_until(store, clock, 1)
    clock.now += 1_500
    await store.end(known.id)
    assert await rows(alias) == [
        (1, "missed", "no_worker", 1),
        (2, "missed", "no_worker", 1),
    ]


async def test_a_schedule_that_ended_for_long_has_missed_nothing(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await store.end((await attach(store)).id)
    clock.now += DAY
    assert (await attach(store)).next_at == clock.now + SECOND
    await store.plan()
    assert await rows(alias) == []


async def test_a_new_rule_counts_from_now_on_and_the_old_one_until_now(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store)
    clock.now += 3 * SECOND
    known = await attach(store, expression=EVERY_MINUTE, misfire="once")
    assert known.next_at == FIRST_MINUTE
    assert await rows(alias) == [(second, "due", "", 1) for second in (1, 2, 3)]


async def test_another_spelling_of_a_rule_changes_nothing_but_the_text(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store, expression="*/1 * * * * *")
    clock.now += 2 * SECOND
    known = await attach(store)
    assert (known.settings.expression, known.next_at) == (EVERY_SECOND, START_MS + SECOND)


# --- the way of a tick ----------------------------------------------------------------------------


async def test_a_tick_is_planned_claimed_and_done(
    store: CronStore, clock: Clock, alias: str
) -> None:
    known = await attach(store)
    planned = await store.plan()
    assert (planned.ticks, planned.next_due_at) == (0, START_MS + SECOND)
    clock.now += SECOND - LEAD_MS
    planned = await store.plan()
    assert (planned.ticks, planned.next_due_at) == (1, START_MS + 2 * SECOND)
    (tick,) = await claim(store)
    assert tick.schedule.settings == known.settings
    assert (tick.scheduled_at, tick.run_at, tick.attempt) == (START_MS + 1_000,) * 2 + (1,)
    assert await claim(store) == []
    assert await rows(alias) == [(1, "running", "", 1)]
    assert await store.finish([done(tick)]) == 0
    assert await store.finish([done(tick)]) == 1
    assert await rows(alias) == [(1, "done", "", 1)]


async def test_what_has_become_of_a_tick_is_kept_as_it_was_said(
    store: CronStore, clock: Clock
) -> None:
    await attach(store)
    clock.now += SECOND
    await store.plan()
    (tick,) = await claim(store)
    failed = done(
        tick, TickState.FAILED, error="boom\0 \ud800" + "x" * 5_000, trigger_id="t", trace_id="ab"
    )
    await store.finish([failed])
    record = await store.tick(tick.id)
    assert record is not None
    assert record.state is TickState.FAILED
    assert record.error == ("boom\ufffd ?" + "x" * 5_000)[:2_000]
    assert (record.trigger_id, record.trace_id, record.attempts) == ("t", "ab", 1)
    assert (record.started_at, record.finished_at) == (tick.run_at, tick.run_at + 5)


async def test_more_ticks_than_one_claim_takes_come_with_the_next_ones(
    store: CronStore, clock: Clock
) -> None:
    number = CLAIMED_AT_ONCE + 10
    for deferred in [store.attach(settings(f"s{each}")) for each in range(number)]:
        await deferred
    clock.now += 500
    assert (await store.plan()).ticks == number
    first = await store.claim(anything)
    assert (len(first.ticks), first.has_more) == (CLAIMED_AT_ONCE, True)
    second = await store.claim(anything)
    assert (len(second.ticks), second.has_more) == (10, False)
    ended = [done(tick) for tick in (*first.ticks, *second.ticks)]
    assert await store.finish(ended) == 0


async def test_a_tick_that_is_given_back_is_claimed_anew(store: CronStore, clock: Clock) -> None:
    await attach(store)
    clock.now += SECOND
    await store.plan()
    (tick,) = await claim(store)
    await store.release([tick.id])
    (again,) = await claim(store)
    assert (again.id, again.attempt) == (tick.id, 2)
    assert await store.finish([done(tick)]) == 1
    assert await store.finish([done(again)]) == 0


async def test_a_tick_that_is_given_back_after_the_end_goes(
    store: CronStore, clock: Clock, alias: str
) -> None:
    known = await attach(store, misfire="once")
    clock.now += 1_500
    await store.plan()
    ticks = await claim(store)
    await store.end(known.id)
    await store.release([tick.id for tick in ticks])
    assert await rows(alias) == [(1, "missed", "no_worker", 1)]


async def test_what_is_past_its_grace_is_not_claimed(store: CronStore, clock: Clock) -> None:
    await attach(store)
    await plan_until(store, clock, 1)
    clock.now += 2 * SECOND + 1
    assert await claim(store) == []
    clock.now -= 1
    assert len(await claim(store)) == 1


async def test_what_nobody_executes_in_time_is_late(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store)
    await plan_until(store, clock, 1)
    clock.now += 2 * SECOND
    assert await store.settle(anything) is True
    clock.now += 1
    assert await store.settle(anything) is False
    assert await rows(alias) == [(1, "missed", "late", 1)]


async def test_a_claim_that_nobody_was_told_of_is_found_again(
    store: CronStore, clock: Clock, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await attach(store)
    await attach(store, "again", repeat_interrupted=True)
    await plan_until(store, clock, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_writer", LosingAnswers(store._writer))
        with pytest.raises(StoreUnavailable):
            await store.claim(anything)
    assert await rows(alias) == [(1, "running", "", 1)]
    (again,) = await claim(store)
    assert (again.schedule.settings.schedule_id, again.attempt) == ("again", 2)
    assert await rows(alias) == [(1, "interrupted", "", 1)]
    assert await claim(store) == []
    assert await store.finish([done(again)]) == 0


# --- workers that are away ------------------------------------------------------------------------


async def test_while_its_worker_is_away_a_schedule_misses_its_times(
    store: CronStore, clock: Clock, alias: str
) -> None:
    known = await attach(store)
    await store.detach(known.id)
    assert (await schedule_row(alias)).detached_at == START_MS
    await plan_until(store, clock, 6)
    assert await claim(store) == []
    assert await store.settle(anything) is False
    found = await rows(alias)
    assert found[:3] == [(second, "missed", "no_worker", 1) for second in (1, 2, 3)]
    assert found[3:] == [(second, "due", "", 1) for second in (4, 5, 6)]


async def test_a_worker_that_comes_back_runs_what_is_within_its_grace(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await store.detach((await attach(store)).id)
    await plan_until(store, clock, 6)
    assert (await attach(store)).next_at == START_MS + 7 * SECOND
    assert await run_all(store) == [START_MS + second * SECOND for second in (4, 5, 6)]
    assert (await rows(alias))[:3] == [(second, "missed", "no_worker", 1) for second in (1, 2, 3)]


async def test_of_a_misfire_once_schedule_the_newest_time_is_made_up(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await store.detach((await attach(store, misfire="once")).id)
    await plan_until(store, clock, 10)
    clock.now += 10 * MINUTE
    await store.settle(anything)
    assert (await rows(alias))[-1] == (10, "due", "", 1)
    await attach(store, misfire="once")
    assert await run_all(store) == [START_MS + 10 * SECOND]
    assert await run_all(store) == []
    expected = [(second, "missed", "superseded", 1) for second in range(1, 10)]
    assert await rows(alias) == [*expected, (10, "done", "", 1)]


async def test_an_earlier_time_is_not_made_up_once_a_later_one_has_run(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await store.detach((await attach(store, misfire="once")).id)
    await plan_until(store, clock, 3)
    await attach(store, misfire="once")
    assert await run_all(store) == [START_MS + 3 * SECOND]
    assert await run_all(store) == []
    assert await store.settle(anything) is False
    assert await rows(alias) == [
        (1, "missed", "superseded", 1),
        (2, "missed", "superseded", 1),
        (3, "done", "", 1),
    ]


# --- engines that end -----------------------------------------------------------------------------


async def restarted(database: Database, alias: str) -> CronStore:
    """Return the store of the next engine; the one before has left everything as it was."""
    following = Database(database.writer, database.reader, database.is_sqlite, database.description)
    store = CronStore(following)
    await store.start()
    return store


async def test_what_was_under_way_when_an_engine_died_is_interrupted(
    store: CronStore, clock: Clock, alias: str, database: Database
) -> None:
    await attach(store)
    await plan_until(store, clock, 1)
    (tick,) = await claim(store)
    clock.now += 100
    following = await restarted(database, alias)
    assert await rows(alias) == [(1, "interrupted", "", 1)]
    record = await following.tick(tick.id)
    assert record is not None
    assert (record.error, record.finished_at) == (
        "the engine that had claimed it has ended",
        clock.now,
    )
    await attach(following)
    assert await claim(following) == []
    assert await store.finish([done(tick)]) == 1


async def test_a_schedule_that_says_so_is_called_again_after_its_engine_died(
    store: CronStore, clock: Clock, database: Database, alias: str
) -> None:
    await attach(store, repeat_interrupted=True)
    await plan_until(store, clock, 1)
    (tick,) = await claim(store)
    following = await restarted(database, alias)
    clock.now += DAY
    await following.settle(anything)
    await attach(following, repeat_interrupted=True)
    (again,) = await claim(following)
    assert (again.id, again.attempt, again.give_up_at) == (tick.id, 2, None)


async def test_schedules_of_an_engine_that_died_are_detached(
    store: CronStore, clock: Clock, database: Database, alias: str
) -> None:
    await attach(store)
    await store.save(settings("person"), is_new=True)
    following = await restarted(database, alias)
    await following.settle(anything)
    assert (await schedule_row(alias)).detached_at == START_MS
    assert (await schedule_row(alias, "person")).detached_at is None
    await attach(following)
    assert (await schedule_row(alias)).detached_at is None


# --- people's schedules ---------------------------------------------------------------------------


async def test_a_persons_schedule_runs_where_its_function_can_be_called(
    store: CronStore, clock: Clock, alias: str
) -> None:
    known = await store.save(settings("p", function_id="g", namespace="n"), is_new=True)
    assert known.is_persons
    await plan_until(store, clock, 1)
    assert not (await store.claim(nothing)).ticks
    assert await store.settle(nothing) is False
    asked: list[tuple[str, str]] = []

    def can_run(function_id: str, namespace: str) -> bool:
        asked.append((function_id, namespace))
        return True

    assert await store.settle(can_run) is True
    assert len((await store.claim(can_run)).ticks) == 1
    assert set(asked) == {("g", "n")}


async def test_a_persons_schedule_whose_function_is_nowhere_misses_its_times(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await store.save(settings("p"), is_new=True)
    await plan_until(store, clock, 4)
    await store.settle(nothing)
    assert (await rows(alias, "p"))[0] == (1, "missed", "no_worker", 1)


async def test_what_cannot_run_here_holds_nothing_else_back(store: CronStore, clock: Clock) -> None:
    for each in range(CLAIMED_AT_ONCE + 5):
        await store.save(settings(f"p{each}", function_id="nowhere"), is_new=True)
    clock.now += 100
    await attach(store)
    clock.now += 900
    await store.plan()
    claims = await store.claim(lambda function_id, namespace: function_id != "nowhere")
    assert [tick.schedule.settings.schedule_id for tick in claims.ticks] == ["s"]


async def test_a_persons_schedule_is_changed_and_deleted(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await store.save(settings("p"), is_new=True)
    with pytest.raises(ScheduleExists):
        await store.save(settings("p"), is_new=True)
    changed = await store.save(settings("p", expression=EVERY_MINUTE), is_new=False)
    assert changed.next_at == FIRST_MINUTE
    await store.add_manual("p", b"")
    assert await store.remove("p") is True
    assert await store.remove("p") is False
    assert await rows(alias, "p") == []
    with pytest.raises(ScheduleNotFound):
        await store.save(settings("p"), is_new=False)


async def test_a_workers_schedule_is_deleted_only_while_nobody_has_it(store: CronStore) -> None:
    known = await attach(store)
    with pytest.raises(ScheduleNotFound):
        await store.save(settings(), is_new=False)
    with pytest.raises(CronError):
        await store.remove("s")
    await store.detach(known.id)
    assert await store.remove("s") is True


# --- people intervene -----------------------------------------------------------------------------


async def test_nothing_of_a_paused_schedule_runs_until_it_is_resumed(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store)
    clock.now += 500
    await store.plan()
    assert (await store.set_paused("s", True)).is_paused
    await plan_until(store, clock, 2)
    assert await run_all(store) == []
    assert not (await store.set_paused("s", False)).is_paused
    await plan_until(store, clock, 3)
    assert await run_all(store) == [START_MS + 3 * SECOND]
    assert await rows(alias) == [
        (1, "skipped", "paused", 1),
        (2, "skipped", "paused", 1),
        (3, "done", "", 1),
    ]


async def test_the_next_time_is_skipped(store: CronStore, clock: Clock, alias: str) -> None:
    await attach(store)
    assert (await store.skip_next("s")).skip_until == START_MS + SECOND
    await plan_until(store, clock, 2)
    assert await run_all(store) == [START_MS + 2 * SECOND]
    assert await rows(alias) == [(1, "skipped", "skip_next", 1), (2, "done", "", 1)]


async def test_who_claims_a_time_that_is_due_already_sees_that_it_is_skipped(
    store: CronStore, clock: Clock
) -> None:
    await attach(store)
    clock.now += 500
    await store.plan()
    assert (await store.skip_next("s")).skip_until == START_MS + SECOND
    (tick,) = await claim(store)
    assert tick.schedule.skip_until == tick.scheduled_at == START_MS + SECOND


async def test_a_time_that_was_planned_as_skipped_may_be_taken_back(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store)
    await store.skip_next("s")
    clock.now += 500
    await store.plan()
    assert await rows(alias) == [(1, "skipped", "skip_next", 1)]
    await store.skip_next("s", is_skipped=False)
    (tick,) = await claim(store)
    assert (tick.scheduled_at, tick.give_up_at) == (START_MS + SECOND, START_MS + 3 * SECOND)
    assert tick.schedule.skip_until == 0


async def test_a_time_that_is_claimed_ahead_counts_as_the_next_one(
    store: CronStore, clock: Clock
) -> None:
    await attach(store)
    clock.now += 500
    await store.plan()
    await claim(store)
    assert (await store.skip_next("s")).skip_until == START_MS + SECOND
    assert (await store.skip_next("s", is_skipped=False)).skip_until == 0


async def test_a_run_that_is_asked_for_is_due_at_once_paused_or_not(
    store: CronStore, clock: Clock
) -> None:
    await attach(store, expression=EVERY_MINUTE, misfire="once")
    await store.set_paused("s", True)
    first, second = await store.add_manual("s", b"[1]"), await store.add_manual("s", b"")
    ticks = await claim(store)
    assert [(tick.id, tick.is_manual, tick.payload) for tick in ticks] == [
        (first, True, b"[1]"),
        (second, True, b""),
    ]
    assert [tick.scheduled_at - START_MS for tick in ticks] == [1, 2]
    assert [tick.run_at for tick in ticks] == [START_MS, START_MS]
    assert ticks[0].give_up_at == START_MS + MINUTE


async def test_what_is_not_there_cannot_be_changed(store: CronStore) -> None:
    for deferred in (store.set_paused("no", True), store.skip_next("no")):
        with pytest.raises(ScheduleNotFound):
            await deferred
    with pytest.raises(ScheduleNotFound):
        await store.add_manual("no", b"")


# --- the clock ------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_back_repeats_nothing(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store)
    await plan_until(store, clock, 3)
    assert len(await run_all(store)) == 3
    await attach(store, "later", expression=EVERY_MINUTE)
    clock.now = START_MS - 2 * MINUTE
    planned = await store.plan()
    assert planned.next_due_at == clock.now + SECOND
    assert (await schedule_row(alias, "later")).next_at == FIRST_MINUTE - 2 * MINUTE
    clock.now = START_MS
    await store.plan()
    await run_all(store)
    await plan_until(store, clock, 4)
    assert await run_all(store) == [START_MS + 4 * SECOND]
    assert (await rows(alias))[-4:] == [(second, "done", "", 1) for second in (1, 2, 3, 4)]


async def test_a_worker_that_comes_back_notices_that_the_clock_was_set_back(
    store: CronStore, clock: Clock
) -> None:
    await attach(store, expression=EVERY_MINUTE)
    clock.now -= 10 * MINUTE
    known = await attach(store, expression=EVERY_MINUTE)
    assert known.next_at == FIRST_MINUTE - 10 * MINUTE


async def test_a_long_time_without_a_clock_is_planned_in_several_steps(
    store: CronStore, clock: Clock, alias: str
) -> None:
    for each in range(30):
        await attach(store, f"s{each}")
    clock.now += DAY
    planned = await store.plan()
    while planned.next_due_at is not None and planned.next_due_at <= clock.now + LEAD_MS:
        planned = await store.plan()
    found = await rows(alias, "s29")
    assert (len(found), found[0]) == (101, (DAY // SECOND - 100, "missed", "not_running", 10_000))
    assert found[-1] == (DAY // SECOND, "due", "", 1)


async def test_a_rule_that_cannot_be_read_any_more_stops_no_other(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store, "gone", timezone="Europe/Berlin")
    await attach(store)
    row = await schedule_row(alias, "gone")
    row.timezone = "Europe/Atlantis"
    await row.asave(using=alias)
    await plan_until(store, clock, 1)
    assert await run_all(store) == [START_MS + SECOND]
    assert (await schedule_row(alias, "gone")).due_at == clock.now + MINUTE


# --- what is over goes ----------------------------------------------------------------------------


async def test_a_schedule_keeps_its_newest_ticks(
    store: CronStore, clock: Clock, alias: str
) -> None:
    await attach(store)
    await attach(store, "other")
    for _ in range(12):
        await plan_until(store, clock, (clock.now - START_MS) // SECOND + 1)
        await run_all(store)
    await plan_until(store, clock, 13)
    assert await store.sweep(keep_ms=DAY, keep_count=5) == 16
    for schedule_id in ("s", "other"):
        assert [row[0] for row in await rows(alias, schedule_id)] == [9, 10, 11, 12, 13]
        row = await schedule_row(alias, schedule_id)
        assert (row.planned, row.pruned) == (13, 8)
    assert await store.sweep(keep_ms=DAY, keep_count=5) == 0


async def test_every_sweep_looks_at_the_next_schedules(
    store: CronStore, clock: Clock, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SCHEDULES_AT_ONCE", 2)
    for schedule_id in ("a", "b", "c"):
        await attach(store, schedule_id)
    clock.now += 10 * SECOND
    await store.plan()
    await store.settle(nothing)
    swept = [await store.sweep(keep_ms=DAY, keep_count=5) for _ in range(3)]
    assert swept == [10, 5, 0]


async def test_old_ticks_go_unless_they_wait(store: CronStore, clock: Clock, alias: str) -> None:
    await store.detach((await attach(store, "away", misfire="once")).id)
    await attach(store)
    await plan_until(store, clock, 1)
    await run_all(store)
    clock.now += 2 * DAY
    assert await store.sweep(keep_ms=3 * DAY, keep_count=1_000) == 0
    assert await store.sweep(keep_ms=DAY, keep_count=1_000) == 1
    assert await rows(alias) == []
    assert await rows(alias, "away") == [(1, "due", "", 1)]


async def test_schedules_that_nobody_has_had_for_long_go_with_their_ticks(
    store: CronStore, clock: Clock
) -> None:
    for schedule_id in ("detached", "ended", "kept"):
        known = await attach(store, schedule_id)
        if schedule_id != "kept":
            await (store.detach if schedule_id == "detached" else store.end)(known.id)
    await store.save(settings("person"), is_new=True)
    await plan_until(store, clock, 3)
    clock.now += sweeping.ABANDONED_MS
    await store.sweep(keep_ms=100 * DAY, keep_count=1_000)
    listed = (await store.list()).schedules
    assert [each.known.settings.schedule_id for each in listed] == ["kept", "person"]
    assert await store.ticks(schedule_id="detached") == []


# --- people look ----------------------------------------------------------------------------------


async def test_a_schedule_is_listed_with_its_last_tick(store: CronStore, clock: Clock) -> None:
    await attach(store)
    await plan_until(store, clock, 1)
    (tick,) = await claim(store)
    await store.finish([done(tick)])
    await plan_until(store, clock, 2)
    listed = await store.find("s")
    assert listed is not None
    assert listed.last == await store.tick(tick.id)
    assert listed.last is not None
    assert (listed.last.schedule_id, listed.last.state) == ("s", TickState.DONE)
    assert (listed.detached_at, listed.ended_at) == (None, None)
    assert await store.find("no") is None


async def test_schedules_are_found_by_what_they_are(store: CronStore) -> None:
    async def found(**wanted: Any) -> list[str]:
        page = await store.list(**wanted)
        assert page.total == len(page.schedules)
        return [each.known.settings.schedule_id for each in page.schedules]

    await attach(store, "a", function_id="reports::daily")
    await attach(store, "off", is_enabled=False)
    await store.detach((await attach(store, "away")).id)
    await store.end((await attach(store, "over")).id)
    await attach(store, "past", expression="0 0 0 1 1 * 2020")
    await store.save(settings("person"), is_new=True)
    await store.set_paused("person", True)
    assert await found(search="REPORTS") == ["a"]
    assert await found(function_id="reports::daily") == ["a"]
    assert await found(origin="person") == ["person"]
    states = {
        state: await found(state=state)
        for state in ("active", "paused", "disabled", "detached", "ended")
    }
    assert states == {
        "active": ["a"],
        "paused": ["person"],
        "disabled": ["off"],
        "detached": ["away"],
        "ended": ["over", "past"],
    }
    page = await store.list(limit=2, offset=1)
    assert ([each.known.settings.schedule_id for each in page.schedules], page.total) == (
        ["away", "off"],
        6,
    )


async def test_ticks_are_listed_newest_first_and_page_by_page(
    store: CronStore, clock: Clock
) -> None:
    await attach(store)
    await attach(store, "other")
    await plan_until(store, clock, 4)
    await store.settle(nothing)
    every = await store.ticks(schedule_id="s")
    assert [tick.scheduled_at for tick in every] == sorted(
        (tick.scheduled_at for tick in every), reverse=True
    )
    assert await store.ticks(schedule_id="s", limit=2, before_id=every[1].id) == every[2:4]
    missed = await store.ticks(state=TickState.MISSED)
    assert {(tick.schedule_id, tick.reason) for tick in missed} == {
        ("s", "late"),
        ("other", "late"),
    }
    assert len(await store.ticks(state=TickState.DUE)) == 6
