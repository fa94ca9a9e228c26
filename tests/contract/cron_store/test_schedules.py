"""How schedules come, change and end; on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from engine.modules.cron.dialect.field_parsing import InvalidExpression
from engine.modules.cron.dialect.zones import UnknownZone
from engine.modules.cron.errors import ScheduleExists
from engine.modules.cron.store.store import CronStore
from kv.stores.database import Database
from tests.cron_stores import (
    DAY,
    EVERY_MINUTE,
    EVERY_SECOND,
    FIRST_MINUTE,
    MINUTE,
    SECOND,
    START_MS,
    Clock,
    anything,
    attach,
    claim,
    done,
    plan_until,
    rows,
    run_all,
    schedule_row,
    settings,
)

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
