"""When an expression is due: tables of dates, the calendar first, then changes of the clocks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise

import pytest

from engine.modules.cron.dialect import wall_clock
from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.occurrences import next_after, occurrences
from engine.modules.cron.dialect.zones import find_zone

NEW_YORK = "America/New_York"
BERLIN = "Europe/Berlin"
LORD_HOWE = "Australia/Lord_Howe"


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(text: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """Return the next instants of an expression in UTC: `2026-02-18 10:00:30`."""
    found = occurrences(parse_expression(text), instant(after), find_zone(zone))
    return [each.isoformat(" ").removesuffix("+00:00") for each in islice(found, count)]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        # Seconds, minutes, hours.
        (
            "*/30 * * * * * *",
            "2026-02-18 10:00:00",
            ["2026-02-18 10:00:30", "2026-02-18 10:01:00", "2026-02-18 10:01:30"],
        ),
        (
            "*/2 * * * * * *",
            "2026-12-31 23:59:57",
            ["2026-12-31 23:59:58", "2027-01-01 00:00:00", "2027-01-01 00:00:02"],
        ),
        (
            "*/2 * * * * *",
            "2026-02-18 10:00:01",
            ["2026-02-18 10:00:02", "2026-02-18 10:00:04"],
        ),
        ("* * * * * * *", "2026-02-28 23:59:59", ["2026-03-01 00:00:00", "2026-03-01 00:00:01"]),
        ("5,50 59 * * * *", "2026-01-01 00:59:50", ["2026-01-01 01:59:05", "2026-01-01 01:59:50"]),
        ("30 10 9,17 * * *", "2026-01-01 09:10:30", ["2026-01-01 17:10:30", "2026-01-02 09:10:30"]),
        ("0 */7 * * * *", "2026-01-01 00:56:00", ["2026-01-01 01:00:00", "2026-01-01 01:07:00"]),
        ("@hourly", "2026-01-01 22:30:00", ["2026-01-01 23:00:00", "2026-01-02 00:00:00"]),
        # Weekdays: 1 is Sunday, names say the same. 2026-02-18 is a Wednesday.
        ("0 0 9 * * 4 *", "2026-02-18 00:00:00", ["2026-02-18 09:00:00", "2026-02-25 09:00:00"]),
        ("0 0 9 * * WED *", "2026-02-18 00:00:00", ["2026-02-18 09:00:00", "2026-02-25 09:00:00"]),
        ("0 0 9 * * 3 *", "2026-02-18 00:00:00", ["2026-02-24 09:00:00", "2026-03-03 09:00:00"]),
        ("0 0 0 * * 1 *", "2026-02-18 00:00:00", ["2026-02-22 00:00:00", "2026-03-01 00:00:00"]),
        ("0 0 0 * * 0 *", "2026-02-18 00:00:00", ["2026-02-22 00:00:00", "2026-03-01 00:00:00"]),
        ("0 0 0 * * 7 *", "2026-02-18 00:00:00", ["2026-02-21 00:00:00", "2026-02-28 00:00:00"]),
        ("@weekly", "2026-02-18 00:00:00", ["2026-02-22 00:00:00", "2026-03-01 00:00:00"]),
        (
            "0 0 9 * * MON-FRI *",
            "2026-02-19 09:00:00",
            ["2026-02-20 09:00:00", "2026-02-23 09:00:00", "2026-02-24 09:00:00"],
        ),
        # Both day fields have to match.
        ("0 0 0 13 * FRI *", "2026-01-01 00:00:00", ["2026-02-13 00:00:00", "2026-03-13 00:00:00"]),
        (
            "0 0 0 8-14 * FRI *",
            "2026-01-09 00:00:00",
            ["2026-02-13 00:00:00", "2026-03-13 00:00:00", "2026-04-10 00:00:00"],
        ),
        # Months of different lengths.
        (
            "0 0 0 31 * * *",
            "2026-01-31 00:00:00",
            ["2026-03-31 00:00:00", "2026-05-31 00:00:00", "2026-07-31 00:00:00"],
        ),
        ("0 0 0 30 2-4 * *", "2026-01-01 00:00:00", ["2026-03-30 00:00:00", "2026-04-30 00:00:00"]),
        ("@yearly", "2026-01-01 00:00:00", ["2027-01-01 00:00:00", "2028-01-01 00:00:00"]),
        ("@monthly", "2026-11-30 00:00:00", ["2026-12-01 00:00:00", "2027-01-01 00:00:00"]),
        # The last day of February, in leap years and others.
        ("0 0 0 29 2 * *", "2026-01-01 00:00:00", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        (
            "0 0 0 28-31 2 * *",
            "2026-02-28 00:00:00",
            ["2027-02-28 00:00:00", "2028-02-28 00:00:00", "2028-02-29 00:00:00"],
        ),
        ("59 59 23 28 2 *", "2027-02-28 23:59:58", ["2027-02-28 23:59:59", "2028-02-28 23:59:59"]),
        ("0 0 0 * * *", "2028-02-28 00:00:00", ["2028-02-29 00:00:00", "2028-03-01 00:00:00"]),
        ("0 0 0 29 2 MON *", "2026-01-01 00:00:00", ["2044-02-29 00:00:00", "2072-02-29 00:00:00"]),
        ("0 0 0 29 2 * *", "1999-12-31 00:00:00", ["2000-02-29 00:00:00", "2004-02-29 00:00:00"]),
        # Years.
        ("0 0 0 1 1 * 2028", "2026-02-18 00:00:00", ["2028-01-01 00:00:00"]),
        (
            "0 0 0 1 1 * 2027-2030/3",
            "2026-02-18 00:00:00",
            ["2027-01-01 00:00:00", "2030-01-01 00:00:00"],
        ),
        ("59 59 23 31 12 * 2100", "2026-02-18 00:00:00", ["2100-12-31 23:59:59"]),
        ("* * * * * * *", "2100-12-31 23:59:58", ["2100-12-31 23:59:59"]),
        ("0 0 0 1 1 * *", "0001-01-01 00:00:00", ["1970-01-01 00:00:00", "1971-01-01 00:00:00"]),
    ],
)
def test_an_expression_is_due_at_the_dates_of_the_calendar(
    text: str, after: str, expected: list[str]
) -> None:
    # Two at least are asked for: where one is expected, it is the last.
    assert due(text, after, max(len(expected), 2)) == expected


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("* * * * * * 2020", "2026-02-18 00:00:00"),
        ("0 0 0 1 1 * 2026", "2026-01-02 00:00:00"),
        ("0 0 0 30 2 * *", "2026-02-18 00:00:00"),
        ("0 0 0 30,31 2 * *", "1970-01-01 00:00:00"),
        ("0 0 0 31 2,4,6,9,11 * *", "1970-01-01 00:00:00"),
        ("0 0 0 29 2 * 2026/4", "2026-02-18 00:00:00"),
        ("0 0 0 29 2 * 2100", "2026-02-18 00:00:00"),
        ("0 0 0 29 2 MON 2028", "2026-02-18 00:00:00"),
        ("* * * * * * *", "2101-01-01 05:00:00"),
        ("* * * * * * *", "9999-12-31 23:59:59"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "Pacific/Kiritimati"])
def test_an_expression_without_a_date_left_is_never_due(text: str, after: str, zone: str) -> None:
    assert next_after(parse_expression(text), instant(after), find_zone(zone)) is None


@pytest.mark.parametrize("date", ["30 2", "30,31 2", "31 2,4,6,9,11"])
def test_a_date_of_no_calendar_is_not_sought(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise AssertionError("a month was looked at")

    monkeypatch.setattr(wall_clock, "_days", fail)
    expression = parse_expression(f"0 0 0 {date} * *")
    assert next_after(expression, instant("2026-02-18 00:00:00")) is None


def test_the_instant_itself_is_not_included_however_fine_it_is() -> None:
    every_second = parse_expression("* * * * * *")
    start = instant("2026-02-18 10:00:00")
    for microsecond in (0, 1, 999_999):
        found = next_after(every_second, start.replace(microsecond=microsecond))
        assert found == instant("2026-02-18 10:00:01")
    assert next_after(every_second, instant("2026-02-18 09:59:59.999999")) == start


def test_an_instant_in_any_zone_gives_an_instant_in_utc() -> None:
    noon = parse_expression("0 0 12 * * *")
    start = datetime(2026, 2, 18, 1, tzinfo=timezone(timedelta(hours=14)))
    found = next_after(noon, start, find_zone("Asia/Tokyo"))
    assert (found, found and found.tzinfo) == (instant("2026-02-18 03:00:00"), UTC)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("2026-02-18 00:00:00 is naive")):
        next_after(parse_expression("@daily"), datetime(2026, 2, 18))


def test_occurrences_end_with_the_instant_that_bounds_them() -> None:
    rule = parse_expression("0 */10 * * * *")
    start, end = instant("2026-02-18 10:00:00"), instant("2026-02-18 10:30:00")
    expected = [start + timedelta(minutes=minutes) for minutes in (10, 20, 30)]
    assert list(occurrences(rule, start, until=end)) == expected
    assert list(occurrences(rule, start, until=end - timedelta(microseconds=1))) == expected[:2]
    assert list(occurrences(rule, end, until=start)) == []


def test_occurrences_end_by_themselves_when_no_date_is_left() -> None:
    found = occurrences(parse_expression("0 0 0 1 1 * 2026-2028"), instant("2026-06-01"))
    assert [each.year for each in found] == [2027, 2028]


@pytest.mark.parametrize(
    ("zone", "text", "after", "expected"),
    [
        # New York, 8 March: 02:00 (07:00 UTC) becomes 03:00.
        (
            NEW_YORK,
            "0 30 2 * * *",
            "2026-03-07 12:00",
            ["2026-03-08 07:00:00", "2026-03-09 06:30:00"],
        ),
        (
            NEW_YORK,
            "0 */10 2 * * *",
            "2026-03-08 06:59:59",
            ["2026-03-08 07:00:00", "2026-03-09 06:00:00"],
        ),
        (
            NEW_YORK,
            "0 0 2,3 * * *",
            "2026-03-07 12:00",
            ["2026-03-08 07:00:00", "2026-03-09 06:00:00", "2026-03-09 07:00:00"],
        ),
        (
            NEW_YORK,
            "0 30 1,2,3 * * *",
            "2026-03-08 06:00",
            ["2026-03-08 06:30:00", "2026-03-08 07:00:00", "2026-03-08 07:30:00"],
        ),
        (NEW_YORK, "0 30 2 8 3 * 2026", "2026-01-01 00:00", ["2026-03-08 07:00:00"]),
        (
            NEW_YORK,
            "0 30 1-3 * * *",
            "2026-03-08 06:00",
            ["2026-03-08 06:30:00", "2026-03-08 07:30:00", "2026-03-09 05:30:00"],
        ),
        (NEW_YORK, "0 30 2-3 8 3 * 2026", "2026-01-01 00:00", ["2026-03-08 07:30:00"]),
        (
            NEW_YORK,
            "0 */30 * * * *",
            "2026-03-08 06:00",
            ["2026-03-08 06:30:00", "2026-03-08 07:00:00", "2026-03-08 07:30:00"],
        ),
        # New York, 1 November: 02:00 (06:00 UTC) becomes 01:00.
        (
            NEW_YORK,
            "0 30 1 * * *",
            "2026-10-31 12:00",
            ["2026-11-01 05:30:00", "2026-11-02 06:30:00"],
        ),
        (
            NEW_YORK,
            "0 0,30 1,2 * * *",
            "2026-11-01 04:00",
            ["2026-11-01 05:00:00", "2026-11-01 05:30:00", "2026-11-01 07:00:00"],
        ),
        (
            NEW_YORK,
            "0 30 1 * * *",
            "2026-11-01 06:10",
            ["2026-11-02 06:30:00", "2026-11-03 06:30:00"],
        ),
        (NEW_YORK, "0 0 2 * * *", "2026-11-01 06:10", ["2026-11-01 07:00:00"]),
        (
            NEW_YORK,
            "0 30 1-2 * * *",
            "2026-11-01 05:00",
            ["2026-11-01 05:30:00", "2026-11-01 06:30:00", "2026-11-01 07:30:00"],
        ),
        (
            NEW_YORK,
            "0 0 * * * *",
            "2026-11-01 04:30",
            ["2026-11-01 05:00:00", "2026-11-01 06:00:00", "2026-11-01 07:00:00"],
        ),
        (NEW_YORK, "0 0 2-3 * * *", "2026-11-01 05:10", ["2026-11-01 07:00:00"]),
        (NEW_YORK, "0 0 2-3 * * *", "2026-11-01 06:10", ["2026-11-01 07:00:00"]),
        (NEW_YORK, "0 30 */1 1 11 * 2026", "2026-11-01 05:45", ["2026-11-01 06:30:00"]),
        # Berlin, 29 March: 02:00 (01:00 UTC) becomes 03:00; 25 October: 03:00 becomes 02:00.
        (
            BERLIN,
            "0 15 2 * * *",
            "2026-03-28 12:00",
            ["2026-03-29 01:00:00", "2026-03-30 00:15:00"],
        ),
        (
            BERLIN,
            "0 15 2-3 * * *",
            "2026-03-29 00:00",
            ["2026-03-29 01:15:00", "2026-03-30 00:15:00"],
        ),
        (
            BERLIN,
            "0 15 2 * * *",
            "2026-10-25 00:00",
            ["2026-10-25 00:15:00", "2026-10-26 01:15:00"],
        ),
        (
            BERLIN,
            "0 15 */2 * * *",
            "2026-10-25 00:00",
            ["2026-10-25 00:15:00", "2026-10-25 01:15:00", "2026-10-25 03:15:00"],
        ),
        # Far beyond the dates that the zone's file lists one by one.
        (
            BERLIN,
            "0 15 2 * * *",
            "2099-03-28 12:00",
            ["2099-03-29 01:00:00", "2099-03-30 00:15:00"],
        ),
        # Lord Howe, half an hour. 4 October: 02:00 (3 October 15:30 UTC) becomes 02:30.
        (
            LORD_HOWE,
            "0 15 2 * * *",
            "2026-10-03 12:00",
            ["2026-10-03 15:30:00", "2026-10-04 15:15:00"],
        ),
        (
            LORD_HOWE,
            "0 45 2 * * *",
            "2026-10-03 12:00",
            ["2026-10-03 15:45:00", "2026-10-04 15:45:00"],
        ),
        (
            LORD_HOWE,
            "0 0/15 2 * * *",
            "2026-10-03 12:00",
            ["2026-10-03 15:30:00", "2026-10-03 15:45:00", "2026-10-04 15:00:00"],
        ),
        (
            LORD_HOWE,
            "0 15/30 1-2 * * *",
            "2026-10-03 14:30",
            ["2026-10-03 14:45:00", "2026-10-03 15:15:00", "2026-10-03 15:45:00"],
        ),
        # Lord Howe, 5 April: 02:00 (4 April 15:00 UTC) becomes 01:30.
        (
            LORD_HOWE,
            "0 45 1 * * *",
            "2026-04-04 12:00",
            ["2026-04-04 14:45:00", "2026-04-05 15:15:00"],
        ),
        (
            LORD_HOWE,
            "0 15/30 1-2 * * *",
            "2026-04-04 14:00",
            [
                "2026-04-04 14:15:00",
                "2026-04-04 14:45:00",
                "2026-04-04 15:15:00",
                "2026-04-04 15:45:00",
            ],
        ),
        # Havana leaves out midnight; Apia left out the whole 30 December 2011.
        (
            "America/Havana",
            "@daily",
            "2026-03-07 12:00",
            ["2026-03-08 05:00:00", "2026-03-09 04:00:00"],
        ),
        (
            "Pacific/Apia",
            "0 0 12 * * *",
            "2011-12-29 12:00",
            ["2011-12-29 22:00:00", "2011-12-30 10:00:00", "2011-12-30 22:00:00"],
        ),
        (
            "Pacific/Apia",
            "0 0 11-12 * * *",
            "2011-12-29 12:00",
            ["2011-12-29 21:00:00", "2011-12-29 22:00:00", "2011-12-30 21:00:00"],
        ),
    ],
)
def test_changes_of_the_clocks_neither_lose_a_fixed_hour_nor_stop_the_others(
    zone: str, text: str, after: str, expected: list[str]
) -> None:
    assert due(text, after, len(expected), zone) == expected


@pytest.mark.parametrize("zone", [NEW_YORK, BERLIN, LORD_HOWE, "Antarctica/Troll"])
def test_a_year_has_every_fixed_hour_once_a_day_and_every_half_hour_once(zone: str) -> None:
    start, end = instant("2026-01-10"), instant("2027-01-10")
    for hour in range(4):
        fixed = parse_expression(f"0 15 {hour} * * *")
        assert len(list(occurrences(fixed, start, find_zone(zone), until=end))) == 365
    half_hours = parse_expression("0 */30 * * * *")
    found = list(occurrences(half_hours, start, find_zone(zone), until=end))
    assert {after - before for before, after in pairwise(found)} == {timedelta(minutes=30)}
