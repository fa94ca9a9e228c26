"""Schedules as functions answer them, whatever the store has of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.modules.cron.answers import schedule_answer, schedule_state, tick_answer
from engine.modules.cron.records import (
    KnownSchedule,
    ListedSchedule,
    Settings,
    TickRecord,
    TickState,
)

NEXT = 1_771_408_800_000  # 2026-02-18T10:00:00Z


def listed(*, is_paused: bool = False, **members: Any) -> ListedSchedule:
    settings = Settings("s", "f", "@daily", is_enabled=members.pop("is_enabled", True))
    known = KnownSchedule(1, settings, False, is_paused, 0, members.pop("next_at", NEXT))
    return ListedSchedule(
        known, members.get("detached_at"), members.get("ended_at"), members.get("last")
    )


@pytest.mark.parametrize(
    ("members", "state"),
    [
        ({}, "active"),
        ({"is_paused": True}, "paused"),
        ({"is_paused": True, "is_enabled": False}, "disabled"),
        ({"is_enabled": False, "detached_at": 1}, "detached"),
        ({"detached_at": 1, "ended_at": 2}, "ended"),
        ({"detached_at": 1, "next_at": None}, "ended"),
    ],
)
def test_the_state_is_the_first_that_is_true(members: dict[str, Any], state: str) -> None:
    assert schedule_state(listed(**members)) == state


def test_a_schedule_that_has_ended_is_never_due() -> None:
    assert schedule_answer(listed(), NEXT)["next_run"] == "2026-02-18T10:00:00+00:00"
    assert schedule_answer(listed(ended_at=1), NEXT)["next_run"] is None


@pytest.mark.parametrize(
    "change", [{"expression": "every day"}, {"timezone": "Mars/Olympus"}], ids=["rule", "zone"]
)
def test_what_cannot_be_read_here_is_listed_all_the_same(change: dict[str, str]) -> None:
    one = listed()
    settings = msgspec.structs.replace(one.known.settings, **change)
    known = msgspec.structs.replace(one.known, settings=settings)
    answer = schedule_answer(msgspec.structs.replace(one, known=known), NEXT)
    assert answer["description"].startswith("cannot be read here: ")
    assert answer["next_run_local"] == "2026-02-18T10:00:00+00:00"


@pytest.mark.parametrize(("now", "state"), [(NEXT - 1, "due"), (NEXT, "running")])
def test_a_tick_that_is_claimed_ahead_does_not_run_before_its_time(now: int, state: str) -> None:
    tick = TickRecord(
        id=1,
        schedule_id="s",
        scheduled_at=NEXT,
        run_at=NEXT,
        state=TickState.CLAIMED,
        reason="",
        error="",
        is_manual=False,
        stands_for=1,
        attempts=1,
        trigger_id="",
        trace_id="",
        started_at=None,
        finished_at=None,
    )
    assert tick_answer(tick, now)["state"] == state
