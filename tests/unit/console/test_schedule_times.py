"""Times and spans of schedules in words."""

from __future__ import annotations

import datetime as dt

import pytest

from console.schedule_times import local_time, preview
from console.templatetags.console_spans import duration

NOW = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("zone", "first", "short"),
    [
        ("UTC", "Sat 2026-03-28 12:00:00 UTC", "2026-03-28 12:00:00 UTC"),
        ("Asia/Kolkata", "Sat 2026-03-28 17:30:00 IST", "2026-03-28 17:30:00 IST"),
        ("Gone/Away", "Sat 2026-03-28 12:00:00 UTC", "2026-03-28 12:00:00 UTC"),
    ],
)
def test_an_instant_is_read_on_the_clocks_of_its_zone(zone: str, first: str, short: str) -> None:
    time = local_time(NOW, zone)

    assert (time.first, time.short) == (first, short)
    assert time.is_utc is (zone != "Asia/Kolkata")
    assert time.shown_utc == "Sat 2026-03-28 12:00:00 UTC"


def test_a_preview_shows_when_clocks_are_changed() -> None:
    runs = preview("0 0 12 * * * *", "Europe/Berlin", NOW)["runs"]

    assert [each["local"] for each in runs[:2]] == [
        "Sun 2026-03-29 12:00:00 CEST",
        "Mon 2026-03-30 12:00:00 CEST",
    ]
    assert runs[0]["utc"] == "2026-03-29T10:00:00+00:00"
    assert len(runs) == 5


def test_a_preview_without_a_zone_is_in_utc() -> None:
    answer = preview("0 0 12 1 1 * 2027", "", NOW)

    assert answer["timezone"] == "UTC"
    assert [each["local"] for each in answer["runs"]] == [""]


def test_what_is_never_due_again_has_no_runs() -> None:
    assert preview("0 0 12 1 1 * 2025", "UTC", NOW)["runs"] == []


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (9_999, "9999 ms"),
        (10_000, "10.0 s"),
        (59_040, "59.0 s"),
        (600_000, "10.0 min"),
    ],
)
def test_a_duration_is_said_to_three_digits(milliseconds: int | None, text: str) -> None:
    assert duration(milliseconds) == text
