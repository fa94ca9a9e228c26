"""When random rules are due, compared with a look at every day, or at every second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.occurrences import next_after, occurrences
from engine.modules.cron.dialect.zones import find_zone
from tests.unit.engine.modules.cron.dialect.rules import FieldText, Rule, fields, one, rules

SECOND = timedelta(seconds=1)
CENTURY = timedelta(days=36_525)
FIRST_NOON = datetime(1970, 1, 1, 12, tzinfo=UTC)
ALL_NOONS = [FIRST_NOON + timedelta(days=number) for number in range(131 * 365 + 32)]

COMPARED = 300
"""How many instants of a rule are compared at most: a rule of every second has enough of them."""

every_year = st.just(FieldText("*", frozenset(range(1970, 2101)), is_fixed=False))
at_noon = {"seconds": one(0), "minutes": one(0), "hours": one(12)}
instants = st.datetimes(datetime(1969, 12, 1), datetime(2101, 2, 1), timezones=st.just(UTC))


def test_the_days_that_are_looked_at_are_all_there_are() -> None:
    assert ALL_NOONS[-1].date() == date(2100, 12, 31)


@settings(max_examples=60, deadline=None)
@given(rules(**at_noon) | rules(**at_noon, years=every_year), instants)
def test_the_days_of_a_century_are_those_found_by_a_look_at_each(
    rule: Rule, start: datetime
) -> None:
    end = start + CENTURY
    expected = (noon for noon in ALL_NOONS if start < noon <= end and rule.has_date(noon.date()))
    found = occurrences(parse_expression(rule.text), start, until=end)
    assert list(islice(found, COMPARED)) == list(islice(expected, COMPARED))


@settings(max_examples=50, deadline=None)
@given(
    rules(days=one(18), months=one(2), weekdays=one(4), years=one(2026)),
    st.integers(-5, 86_400).map(lambda number: datetime(2026, 2, 18, tzinfo=UTC) + number * SECOND),
)
def test_the_seconds_of_a_day_are_those_found_by_a_look_at_each(
    rule: Rule, start: datetime
) -> None:
    seconds = (start + number * SECOND for number in range(1, 86_410))
    expected = (second for second in seconds if rule.matches(second))
    found = occurrences(parse_expression(rule.text), start)
    assert list(islice(found, 20)) == list(islice(expected, 20))


class Change(NamedTuple):
    """A change of the clocks: where, and when in UTC."""

    zone: str
    instant: str


CHANGES = [
    Change("America/New_York", "2026-03-08T07:00"),
    Change("America/New_York", "2026-11-01T06:00"),
    Change("Europe/Berlin", "2026-03-29T01:00"),
    Change("Europe/Berlin", "2026-10-25T01:00"),
    Change("Europe/Berlin", "2060-10-31T01:00"),
    Change("Australia/Lord_Howe", "2026-10-03T15:30"),
    Change("Australia/Lord_Howe", "2026-04-04T15:00"),
    Change("America/Havana", "2026-03-08T05:00"),  # leaves out midnight
    Change("America/Havana", "2026-11-01T05:00"),  # has the hour before it twice
    Change("Antarctica/Troll", "2026-03-29T01:00"),  # two hours
    Change("Antarctica/Troll", "2026-10-25T01:00"),
    Change("Africa/Monrovia", "1972-01-07T00:44:30"),  # 44 minutes and 30 seconds, for good
    Change("Pacific/Apia", "2011-12-30T10:00"),  # a whole day
    Change("Asia/Tokyo", "2026-03-29T01:00"),  # none
]
AROUND = timedelta(hours=2.5)


class Second(NamedTuple):
    """One real second: its instant, and what the clock shows, for the second time if `fold`."""

    instant: datetime
    wall: datetime


@cache
def seconds_around(change: Change) -> list[Second]:
    zone = find_zone(change.zone)
    start = datetime.fromisoformat(change.instant).replace(tzinfo=UTC) - AROUND
    instants = [start + number * SECOND for number in range(2 * AROUND // SECOND)]
    # Sums and comparisons of times in one zone are those of the wall clock.
    return [Second(each, each.astimezone(zone)) for each in instants]


def due_by_looking(rule: Rule, seconds: list[Second]) -> Iterator[datetime]:
    """Yield what is due after the first second, by what the clock shows at each of the others."""
    for before, second in pairwise(seconds):
        if not rule.has_fixed_hours:
            is_due = rule.matches(second.wall)
        elif second.wall.fold:
            is_due = False
        else:
            is_due = rule.matches(second.wall) or any(
                map(rule.matches, walls_left_out(before.wall, second.wall))
            )
        if is_due:
            yield second.instant


def walls_left_out(before: datetime, wall: datetime) -> Iterator[datetime]:
    """Yield what the clock has never shown between two seconds; nothing if it was set back."""
    while (before := before + SECOND) < wall:
        yield before


# Rules for the hours in which clocks are changed, most of them for every date: others are rarely
# due within these hours, but some have to be.
seconds_often_0 = one(0) | fields(0, 59)
hours_at_night = fields(0, 23, usual=st.integers(0, 3) | st.just(23))
every_day = st.just(FieldText("*", frozenset(range(1, 32)), is_fixed=False))
days_around = every_day | fields(1, 31, usual=st.sampled_from([1, 3, 4, 7, 8, 25, 29, 30, 31]))
every_month = st.just(FieldText("*", frozenset(range(1, 13)), is_fixed=False))
at_night = rules(
    seconds=seconds_often_0,
    minutes=fields(0, 59, usual=st.sampled_from([0, 15, 29, 30, 31, 44, 45, 59])),
    hours=hours_at_night,
    days=days_around,
    months=every_month,
    weekdays=every_day.map(lambda _: FieldText("*", frozenset(range(1, 8)), is_fixed=False)),
    years=every_year,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHANGES), at_night, st.integers(0, 4 * 3600))
def test_the_seconds_around_a_change_of_clocks_are_those_found_by_a_look_at_each(
    change: Change, rule: Rule, skipped: int
) -> None:
    seconds = seconds_around(change)[skipped:]
    start, end = seconds[0].instant, seconds[-1].instant
    expression = parse_expression(rule.text)
    found = occurrences(expression, start, find_zone(change.zone), until=end)
    expected = due_by_looking(rule, seconds)
    assert list(islice(found, COMPARED)) == list(islice(expected, COMPARED))


@settings(max_examples=60, deadline=None)
@given(
    rules(years=every_year),
    st.sampled_from([change.zone for change in CHANGES]),
    instants,
    st.floats(0, 1, exclude_max=True),
)
def test_any_instant_before_the_next_one_has_the_same_next_one(
    rule: Rule, zone_name: str, start: datetime, share: float
) -> None:
    expression, zone = parse_expression(rule.text), find_zone(zone_name)
    found = next_after(expression, start, zone)
    if found is not None:
        assert found > start
        between = start + (found - start - timedelta(microseconds=1)) * share
        assert next_after(expression, between, zone) == found
