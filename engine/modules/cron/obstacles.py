"""Why a tick whose time has come is not run after all: pure, the time is an argument."""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.modules.cron.records import ClaimedTick, KnownSchedule, TickState
from engine.modules.cron.times import utc_text

MOST_AT_ONCE: Final = 1_000
"""How many runs of a schedule may be under way at once where they may overlap."""


class Obstacle(NamedTuple):
    """What becomes of the tick instead, as in `Ended`."""

    state: TickState
    reason: str
    error: str = ""


def obstacle_of(tick: ClaimedTick, schedule: KnownSchedule, now_ms: int) -> Obstacle | None:
    """Return what keeps a tick from being run, apart from other runs; None if nothing does.

    Args:
        tick: whose time has come.
        schedule: as it is now, which may be later than its tick was claimed.
        now_ms: the present.
    """
    if tick.give_up_at is not None and now_ms > tick.give_up_at:
        late_ms = now_ms - tick.run_at
        return Obstacle(TickState.MISSED, "late", f"it could have begun {late_ms} ms late")
    if tick.is_manual:
        return None
    if not schedule.settings.is_enabled:
        return Obstacle(TickState.SKIPPED, "disabled")
    if schedule.is_paused:
        return Obstacle(TickState.SKIPPED, "paused")
    if schedule.skip_until >= tick.scheduled_at:
        return Obstacle(TickState.SKIPPED, "skip_next")
    return None


def overlap_of(
    schedule: KnownSchedule, under_way: int, oldest_due_at: int, oldest_began_at: int
) -> Obstacle | None:
    """Return whether runs under way keep another one from beginning.

    Args:
        schedule: as it is now.
        under_way: how many of its runs have not ended.
        oldest_due_at: the time that the oldest of them was due at.
        oldest_began_at: when that one began.
    """
    if not under_way:
        return None
    oldest = f"the run of {utc_text(oldest_due_at)}, begun at {utc_text(oldest_began_at)}"
    if schedule.settings.overlap != "allow":
        return Obstacle(TickState.SKIPPED, "overlap", f"{oldest}, had not ended")
    if under_way >= MOST_AT_ONCE:
        return Obstacle(
            TickState.SKIPPED,
            "overlap",
            f"{under_way} runs had not ended, {oldest} among them; no more may be under way",
        )
    return None
