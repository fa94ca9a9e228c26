"""People's schedules, and what people do with all of them."""

from __future__ import annotations

from typing import Any

import pytest

from engine.modules.cron.errors import CronError, ScheduleExists, ScheduleNotFound
from engine.modules.cron.records import TickState
from engine.modules.cron.store.claims import CLAIMED_AT_ONCE
from engine.modules.cron.store.store import CronStore
from tests.cron_stores import (
    EVERY_MINUTE,
    FIRST_MINUTE,
    MINUTE,
    SECOND,
    START_MS,
    Clock,
    attach,
    claim,
    done,
    nothing,
    plan_until,
    rows,
    run_all,
    settings,
)

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
