"""Which times become which ticks, over days that pass in a moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.occurrences import occurrences
from engine.modules.cron.dialect.zones import find_zone
from engine.modules.cron.records import LEAD_MS, MAX_MISSED_ROWS, TickState, grace_ms
from engine.modules.cron.store.foresight import (
    DueSchedule,
    Foreseen,
    NewTick,
    first_due_at,
    foresee,
)
from engine.modules.cron.store.rules import next_time
from engine.modules.cron.times import at, unix_ms

NOW = unix_ms(datetime(2026, 3, 4, 10, 0, tzinfo=UTC))
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EVERY_SECOND = "* * * * * * *"
EVERY_MINUTE = "0 * * * * * *"
DAILY = "0 30 2 * * * *"

CLOCK_CHANGES = [
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 4, tzinfo=UTC)),
]


def most(number: int) -> int:
    """Draw the longest jitter."""
    return number


def schedule(expression: str = EVERY_MINUTE, next_at: int = NOW, **others: Any) -> DueSchedule:
    values: dict[str, Any] = {
        "timezone": "UTC",
        "is_once": False,
        "jitter_ms": 0,
        "is_enabled": True,
        "is_paused": False,
        "skip_until": None,
        "due_at": next_at,
        **others,
    }
    return DueSchedule(1, expression, next_at=next_at, **values)


def look(of: DueSchedule, now_ms: int, taken: Collection[int] = ()) -> Foreseen:
    return foresee(of, now_ms, taken, most)


def said(ticks: Iterable[NewTick], since: int = NOW) -> list[tuple[int, str, str]]:
    """Return of each tick its seconds since a time, its state and why."""
    return [((tick.scheduled_at - since) // SECOND, tick.state.name, tick.reason) for tick in ticks]


# --- ahead of time --------------------------------------------------------------------------------


def test_a_time_is_planned_when_it_is_near() -> None:
    tick = NewTick(1, NOW, NOW, NOW + 30 * SECOND)
    assert look(schedule(), NOW - LEAD_MS - 1) == Foreseen([], NOW, NOW)
    assert look(schedule(), NOW - LEAD_MS) == Foreseen([tick], NOW + MINUTE, NOW + MINUTE)


def test_every_second_is_planned_once_when_the_clock_looks_every_second() -> None:
    times, each = [], schedule(EVERY_SECOND)
    for number in range(100):
        foreseen = look(each, NOW + number * SECOND - 300)
        times += [tick.scheduled_at for tick in foreseen.ticks]
        assert foreseen.next_at is not None
        assert foreseen.due_at is not None
        each = each._replace(next_at=foreseen.next_at, due_at=foreseen.due_at)
    assert times == [NOW + number * SECOND for number in range(100)]


@pytest.mark.parametrize(
    ("expression", "grace"),
    [
        (EVERY_SECOND, 2 * SECOND),
        ("*/10 * * * * * *", 5 * SECOND),
        (EVERY_MINUTE, 30 * SECOND),
        (DAILY, MINUTE),
    ],
)
def test_a_run_may_be_late_by_half_the_way_to_the_next_one(expression: str, grace: int) -> None:
    first = next_time(expression, "UTC", NOW)
    assert first is not None
    foreseen = look(schedule(expression, first), first)
    assert foreseen.ticks[0].give_up_at == first + grace


def test_the_last_time_of_all_ends_a_schedule() -> None:
    last = unix_ms(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    foreseen = look(schedule("59 59 23 31 12 * 2026", last), last)
    assert foreseen == Foreseen([NewTick(1, last, last, last + MINUTE)], None, None)


def test_the_29th_of_february_comes_every_fourth_year() -> None:
    each, times = schedule("0 0 12 29 2 * *", NOW + 2), list[datetime]()
    each = each._replace(next_at=next_time(each.expression, "UTC", NOW) or 0)
    for _ in range(3):
        foreseen = look(each._replace(due_at=each.next_at), each.next_at)
        times += [at(tick.scheduled_at) for tick in foreseen.ticks]
        assert foreseen.next_at is not None
        each = each._replace(next_at=foreseen.next_at)
    assert times == [datetime(year, 2, 29, 12, tzinfo=UTC) for year in (2028, 2032, 2036)]


def test_a_year_ends_between_two_times() -> None:
    first = unix_ms(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    foreseen = look(schedule(EVERY_SECOND, first), first + 500)
    assert [at(tick.scheduled_at).year for tick in foreseen.ticks] == [2026, 2027]


# --- jitter ---------------------------------------------------------------------------------------


def test_a_run_starts_later_by_the_jitter_that_was_drawn() -> None:
    each = schedule(jitter_ms=5 * SECOND, due_at=NOW + 3 * SECOND)
    assert look(each, NOW + SECOND).ticks == []
    foreseen = look(each, NOW + 2_500)
    assert foreseen.ticks == [NewTick(1, NOW, NOW + 3 * SECOND, NOW + 33 * SECOND)]
    assert (foreseen.next_at, foreseen.due_at) == (NOW + MINUTE, NOW + MINUTE + 5 * SECOND)


def test_jitter_never_reaches_the_next_time() -> None:
    due_at = first_due_at(EVERY_SECOND, "UTC", NOW, HOUR, most)
    assert due_at == NOW + SECOND - 1
    assert first_due_at(DAILY, "UTC", None, HOUR, most) is None


# --- nobody planned -------------------------------------------------------------------------------


def test_what_is_within_its_grace_runs_after_a_gap_and_the_rest_is_missed() -> None:
    foreseen = look(schedule(EVERY_SECOND), NOW + 5 * SECOND)
    assert said(foreseen.ticks) == [
        (0, "MISSED", "not_running"),
        (1, "MISSED", "not_running"),
        (2, "MISSED", "not_running"),
        (3, "DUE", ""),
        (4, "DUE", ""),
        (5, "DUE", ""),
    ]
    assert [tick.finished_at for tick in foreseen.ticks[:4]] == [NOW + 5 * SECOND] * 3 + [None]
    assert foreseen.next_at == NOW + 6 * SECOND


def test_of_a_misfire_once_schedule_the_last_time_is_made_up() -> None:
    foreseen = look(schedule(is_once=True), NOW + 3 * MINUTE + SECOND)
    assert said(foreseen.ticks) == [
        (0, "MISSED", "superseded"),
        (60, "MISSED", "superseded"),
        (120, "MISSED", "superseded"),
        (180, "DUE", ""),
    ]
    assert foreseen.ticks[-1].give_up_at is None


def test_a_time_ahead_supersedes_nothing() -> None:
    foreseen = look(schedule(EVERY_SECOND, is_once=True), NOW + SECOND - 100)
    assert said(foreseen.ticks) == [(0, "DUE", ""), (1, "DUE", "")]


@pytest.mark.parametrize("gap", [MAX_MISSED_ROWS - 1, MAX_MISSED_ROWS])
def test_as_many_times_as_get_a_row_get_one_each(gap: int) -> None:
    ticks = look(schedule(EVERY_SECOND), NOW + gap * SECOND).ticks
    assert sum(tick.stands_for for tick in ticks) == gap + 1
    assert len(ticks) == min(gap + 1, MAX_MISSED_ROWS + 1)
    assert ticks[0].scheduled_at == NOW


def test_one_row_stands_for_what_is_before_the_last_times() -> None:
    ticks = look(schedule(), NOW + 500 * MINUTE).ticks
    assert len(ticks) == MAX_MISSED_ROWS + 1
    assert ticks[0] == NewTick(
        schedule=1,
        scheduled_at=NOW + 400 * MINUTE,
        run_at=NOW + 400 * MINUTE,
        give_up_at=None,
        state=TickState.MISSED,
        reason="not_running",
        stands_for=401,
        finished_at=NOW + 500 * MINUTE,
    )
    assert ticks[1].scheduled_at == NOW + 401 * MINUTE
    assert ticks[-1].state is TickState.DUE


def test_a_year_of_seconds_is_told_in_words() -> None:
    now = NOW + 365 * DAY
    ticks = look(schedule(EVERY_SECOND), now).ticks
    assert len(ticks) == MAX_MISSED_ROWS + 1
    assert ticks[0].stands_for == 10_000
    assert ticks[0].error == "and earlier ones since 2026-03-04T10:00:00+00:00"
    assert [tick.scheduled_at for tick in ticks[-2:]] == [now - SECOND, now]


def test_times_that_come_in_bursts_get_their_rows_too() -> None:
    first = unix_ms(datetime(2026, 1, 1, 3, tzinfo=UTC))
    ticks = look(schedule("* * 3 1 1 * *", first), first + 200 * DAY).ticks
    assert [tick.stands_for for tick in ticks] == [3_600 - MAX_MISSED_ROWS] + [1] * MAX_MISSED_ROWS
    assert ticks[-1].scheduled_at == first + HOUR - SECOND


# --- skipped --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"is_enabled": False, "is_paused": True}, "disabled"),
        ({"is_paused": True}, "paused"),
        ({"is_paused": True, "is_once": True}, "paused"),
    ],
)
def test_nothing_of_a_disabled_or_paused_schedule_runs(others: dict[str, Any], reason: str) -> None:
    foreseen = look(schedule(**others), NOW + MINUTE)
    assert said(foreseen.ticks) == [(0, "SKIPPED", reason), (60, "SKIPPED", reason)]
    (earlier, *_) = look(schedule(**others), NOW + DAY).ticks
    assert (earlier.state, earlier.reason) == (TickState.SKIPPED, reason)


def test_the_next_time_is_skipped_and_the_one_after_it_runs() -> None:
    foreseen = look(schedule(EVERY_SECOND, skip_until=NOW), NOW + 500)
    assert said(foreseen.ticks) == [(0, "SKIPPED", "skip_next"), (1, "DUE", "")]


def test_what_is_skipped_is_not_made_up_once() -> None:
    foreseen = look(schedule(is_once=True, skip_until=NOW), NOW + MINUTE)
    assert said(foreseen.ticks) == [(0, "SKIPPED", "skip_next"), (60, "DUE", "")]


# --- the clock is set -----------------------------------------------------------------------------


def test_a_time_that_has_a_tick_gets_no_other() -> None:
    foreseen = look(schedule(EVERY_SECOND), NOW + 2 * SECOND, {NOW, NOW + SECOND})
    assert said(foreseen.ticks) == [(2, "DUE", "")]
    assert foreseen.next_at == NOW + 3 * SECOND


def test_a_clock_that_jumps_ahead_leaves_a_gap_and_no_storm() -> None:
    foreseen = look(schedule(EVERY_MINUTE), NOW + HOUR)
    assert [tick.state.name for tick in foreseen.ticks] == ["MISSED"] * 60 + ["DUE"]


# --- laws -----------------------------------------------------------------------------------------

EXPRESSIONS = st.sampled_from(
    [
        EVERY_MINUTE,
        "0 */15 * * * * *",
        "0 30 1,2,3 * * * *",
        "30 15 2 * * * *",
        "0 0 * * * * *",
        "0 45 1-3 * * * *",
        "0 0 0 * * sun *",
        "59 59 23 * * * *",
        "0 10 2 8 3 * *",
    ]
)


@settings(deadline=None, max_examples=60)
@given(
    expression=EXPRESSIONS,
    change=st.sampled_from(CLOCK_CHANGES),
    steps=st.lists(st.integers(1, 6 * HOUR), min_size=5, max_size=60),
    is_once=st.booleans(),
    jitter_ms=st.sampled_from([0, 500, 10 * SECOND]),
)
def test_every_time_gets_one_tick_whenever_the_clock_looks(
    expression: str,
    change: tuple[str, datetime],
    steps: list[int],
    is_once: bool,
    jitter_ms: int,
) -> None:
    """Two days around a change of the clocks: the ticks are those times, whatever is late."""
    timezone, day = change
    start = unix_ms(day - timedelta(days=1))
    first = next_time(expression, timezone, start)
    assert first is not None
    each = schedule(expression, first, timezone=timezone, is_once=is_once, jitter_ms=jitter_ms)
    now, ticks = start, list[NewTick]()
    for step in steps:
        now = now + step
        foreseen = foresee(each, now, (), most)
        assert all(tick.run_at <= now + LEAD_MS for tick in foreseen.ticks)
        for tick in foreseen.ticks:
            assert tick.scheduled_at <= tick.run_at < tick.scheduled_at + max(jitter_ms, 1) + 1
            is_over = tick.state is not TickState.DUE
            assert is_over == (tick.finished_at is not None)
            if tick.state is TickState.DUE and not is_once:
                following = next_time(expression, timezone, tick.scheduled_at)
                assert tick.give_up_at == tick.run_at + grace_ms(tick.scheduled_at, following)
        due = [tick for tick in foreseen.ticks if tick.state is TickState.DUE]
        if is_once:
            assert sum(tick.run_at <= now for tick in due) <= 1
        ticks += foreseen.ticks
        assert foreseen.next_at is not None
        assert foreseen.due_at is not None
        each = each._replace(next_at=foreseen.next_at, due_at=foreseen.due_at)
    expected = [
        unix_ms(time)
        for time in occurrences(
            parse_expression(expression),
            at(start),
            find_zone(timezone),
            until=at(each.next_at - 1),
        )
    ]
    single = [tick.scheduled_at for tick in ticks if tick.stands_for == 1]
    assert sum(tick.stands_for for tick in ticks) == len(expected)
    assert set(single) <= set(expected)
    assert len(set(single)) == len(single)
    if len(single) == len(ticks):
        assert single == expected


@settings(deadline=None, max_examples=40)
@given(
    expression=st.sampled_from([EVERY_SECOND, EVERY_MINUTE, "* * 3 * * * *", "*/7 * * * * * *"]),
    length=st.integers(0, 3 * DAY),
)
def test_the_rows_of_a_gap_stand_for_all_of_its_times(expression: str, length: int) -> None:
    first = next_time(expression, "UTC", NOW)
    assert first is not None
    now = first + length
    ticks = look(schedule(expression, first), now).ticks
    times = occurrences(parse_expression(expression), at(NOW), until=at(now + LEAD_MS))
    expected = [unix_ms(time) for time in times]
    assert len(ticks) <= MAX_MISSED_ROWS + 2
    assert sum(tick.stands_for for tick in ticks) == min(len(expected), 10_000 + len(ticks) - 1)
    kept = [tick.scheduled_at for tick in ticks]
    assert kept == expected[-len(kept) :]
