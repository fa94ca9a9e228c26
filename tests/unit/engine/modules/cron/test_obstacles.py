"""What keeps a tick from being run when its time has come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.modules.cron.obstacles import MOST_AT_ONCE, Obstacle, obstacle_of, overlap_of
from engine.modules.cron.records import ClaimedTick, KnownSchedule, Settings, TickState

SETTINGS = Settings("s", "f", "* * * * * * *")
SCHEDULE = KnownSchedule(1, SETTINGS, False, False, 0, None)
TICK = ClaimedTick(7, 1, SCHEDULE, 10_000, 10_500, 12_000, False, b"")


def with_settings(**settings: Any) -> KnownSchedule:
    return msgspec.structs.replace(SCHEDULE, settings=msgspec.structs.replace(SETTINGS, **settings))


@pytest.mark.parametrize(
    ("schedule", "now", "obstacle"),
    [
        (SCHEDULE, 10_500, None),
        (SCHEDULE, 12_000, None),
        (
            SCHEDULE,
            12_001,
            Obstacle(TickState.MISSED, "late", "it could have begun 1501 ms late"),
        ),
        (with_settings(is_enabled=False), 10_500, Obstacle(TickState.SKIPPED, "disabled")),
        (
            msgspec.structs.replace(SCHEDULE, is_paused=True),
            10_500,
            Obstacle(TickState.SKIPPED, "paused"),
        ),
        (
            msgspec.structs.replace(SCHEDULE, skip_until=10_000),
            10_500,
            Obstacle(TickState.SKIPPED, "skip_next"),
        ),
        (msgspec.structs.replace(SCHEDULE, skip_until=9_000), 10_500, None),
    ],
)
def test_a_tick_is_not_run_for_a_reason(
    schedule: KnownSchedule, now: int, obstacle: Obstacle | None
) -> None:
    assert obstacle_of(TICK, schedule, now) == obstacle


@pytest.mark.parametrize("change", [{"is_paused": True}, {"skip_until": 99_999}])
def test_what_people_ask_for_is_run_whatever_the_schedule_says(change: dict[str, Any]) -> None:
    tick = msgspec.structs.replace(TICK, is_manual=True)
    assert obstacle_of(tick, msgspec.structs.replace(SCHEDULE, **change), 10_500) is None


def test_a_tick_without_limit_is_never_too_late() -> None:
    tick = msgspec.structs.replace(TICK, give_up_at=None)
    assert obstacle_of(tick, SCHEDULE, 10**12) is None


def test_an_overlap_is_skipped_and_says_what_runs() -> None:
    assert overlap_of(SCHEDULE, 1, 9_000, 9_020) == Obstacle(
        TickState.SKIPPED,
        "overlap",
        "the run of 1970-01-01T00:00:09+00:00, begun at 1970-01-01T00:00:09.020+00:00, "
        "had not ended",
    )


def test_without_a_run_there_is_no_overlap() -> None:
    assert overlap_of(SCHEDULE, 0, 0, 0) is None


def test_overlaps_that_are_allowed_are_bounded() -> None:
    schedule = with_settings(overlap="allow")
    assert overlap_of(schedule, MOST_AT_ONCE - 1, 0, 0) is None
    obstacle = overlap_of(schedule, MOST_AT_ONCE, 0, 0)
    assert obstacle is not None
    assert (obstacle.state, obstacle.reason) == (TickState.SKIPPED, "overlap")
