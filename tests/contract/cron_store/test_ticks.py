"""How a tick is planned, claimed and ended, and what goes when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from engine.core.deferred import Deferred
from engine.modules.cron.records import LEAD_MS, TickState
from engine.modules.cron.store import sweeping
from engine.modules.cron.store.claims import CLAIMED_AT_ONCE
from engine.modules.cron.store.store import CronStore
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor, StoreUnavailable
from tests.cron_stores import (
    DAY,
    EVERY_MINUTE,
    FIRST_MINUTE,
    MINUTE,
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

T = TypeVar("T")


class LosingAnswers:
    """A database that goes away as soon as it has committed."""

    def __init__(self, writer: Executor) -> None:
        self._writer = writer

    def run(self, function: Callable[[StoreConnection], T]) -> Deferred[T]:
        lost: Deferred[T] = Deferred()
        self._writer.run(function).then(lambda _: lost.reject(StoreUnavailable("gone")))
        return lost


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
