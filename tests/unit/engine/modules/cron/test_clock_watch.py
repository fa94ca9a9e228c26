"""A clock that does not run is noticed."""

from __future__ import annotations

import pytest

from engine.modules.cron import clock_watch
from engine.modules.cron.clock_watch import OVERDUE_MS, ClockWatch

START = 1_700_000_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The present, as its only element."""
    present = [START]
    monkeypatch.setattr(clock_watch, "now_ms", lambda: present[0])
    return present


def test_what_is_due_for_long_is_told_until_it_is_planned(
    clock: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    watch = ClockWatch()
    clock[0] += 60_000
    watch.note(START + 10_000)
    watch.note(START + 10_000)
    problem = watch.health()["details"]["clock"]
    assert watch.health()["status"] == "unhealthy"
    assert caplog.messages == [problem]
    assert problem.startswith("schedules have been due for 50 s, unplanned; does the clock run?")
    watch.note(clock[0] + 1)
    assert watch.health() == {"status": "healthy", "details": {}}


def test_what_is_due_soon_or_never_is_no_trouble(clock: list[int]) -> None:
    watch = ClockWatch()
    clock[0] += 60_000
    for due_at in (None, clock[0] + 5, clock[0] - OVERDUE_MS):
        watch.note(due_at)
        assert watch.health()["status"] == "healthy"


def test_what_was_due_before_the_start_has_time_to_be_planned(clock: list[int]) -> None:
    watch = ClockWatch()
    clock[0] += OVERDUE_MS
    watch.note(START - 86_400_000)
    assert watch.health()["status"] == "healthy"
    clock[0] += 1
    watch.note(START - 86_400_000)
    assert watch.health()["status"] == "unhealthy"
