"""Which times of a schedule become which ticks: a pure function of it and of the present."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from engine.modules.cron.records import LEAD_MS, MAX_MISSED_ROWS, TickState, grace_ms
from engine.modules.cron.store.past import Earlier, look_back
from engine.modules.cron.store.rules import next_time
from engine.modules.cron.times import utc_text

NOT_RUNNING: Final = "not_running"
SUPERSEDED: Final = "superseded"


class DueSchedule(NamedTuple):
    """A schedule as its ticks are made of it; the fields are those of `engine.models.Schedule`."""

    id: int
    expression: str
    timezone: str
    is_once: bool
    jitter_ms: int
    is_enabled: bool
    is_paused: bool
    skip_until: int | None
    next_at: int
    due_at: int


class NewTick(NamedTuple):
    """A row that is to be written; the fields are those of `engine.models.Tick`.

    It is DUE, or over already; then `finished_at` is set.
    """

    schedule: int
    scheduled_at: int
    run_at: int
    give_up_at: int | None
    state: TickState = TickState.DUE
    reason: str = ""
    error: str = ""
    stands_for: int = 1
    finished_at: int | None = None


class Foreseen(NamedTuple):
    """What becomes of a schedule: its ticks, and the first time that has none yet."""

    ticks: list[NewTick]
    next_at: int | None
    due_at: int | None


def foresee(
    schedule: DueSchedule, now_ms: int, taken: Collection[int], draw: Callable[[int], int]
) -> Foreseen:
    """Return the ticks of all times until `LEAD_MS` from now, and where the schedule is then.

    What is past and cannot be made up any more is missed. Of a long time that nobody has planned
    the last times get a row each, and one row stands for all before them.

    Args:
        schedule: what is due.
        now_ms: the present.
        taken: times that have a tick already; they get no other.
        draw: returns a random number from 0 to the one it is given.

    Raises:
        InvalidExpression: the rule cannot be read.
        UnknownZone: there is no such zone on this machine.
    """
    expression, timezone = schedule.expression, schedule.timezone
    ticks: list[NewTick] = []
    time, run_at = schedule.next_at, schedule.due_at
    earlier = look_back(expression, timezone, time, now_ms, MAX_MISSED_ROWS)
    if earlier is not None:
        ticks.append(_earlier(schedule, earlier, now_ms))
        time = run_at = earlier.following
    while True:
        following = next_time(expression, timezone, time)
        if run_at > now_ms + LEAD_MS:
            break
        ticks.append(_tick(schedule, time, run_at, following, now_ms))
        if following is None:
            return Foreseen(_settle(schedule, ticks, now_ms, taken), None, None)
        time, run_at = following, _with_jitter(schedule, following, draw)
    return Foreseen(_settle(schedule, ticks, now_ms, taken), time, run_at)


def first_due_at(
    expression: str,
    timezone: str,
    next_at: int | None,
    jitter_ms: int,
    draw: Callable[[int], int],
) -> int | None:
    """Return a time with its jitter: it stays before the time that follows.

    Else runs would overtake each other, and miss their grace by waiting for the one before.
    """
    if next_at is None or not jitter_ms:
        return next_at
    following = next_time(expression, timezone, next_at)
    most = jitter_ms if following is None else min(jitter_ms, following - next_at - 1)
    return next_at + draw(most)


def _with_jitter(schedule: DueSchedule, time: int, draw: Callable[[int], int]) -> int:
    due_at = first_due_at(schedule.expression, schedule.timezone, time, schedule.jitter_ms, draw)
    assert due_at is not None
    return due_at


def _tick(
    schedule: DueSchedule, time: int, run_at: int, following: int | None, now_ms: int
) -> NewTick:
    if reason := _skip_reason(schedule, time):
        return _over(schedule, time, run_at, TickState.SKIPPED, reason, now_ms)
    if schedule.is_once:
        return NewTick(schedule.id, time, run_at, None)
    give_up_at = run_at + grace_ms(time, following)
    if give_up_at < now_ms:
        return _over(schedule, time, run_at, TickState.MISSED, NOT_RUNNING, now_ms)
    return NewTick(schedule.id, time, run_at, give_up_at)


def _earlier(schedule: DueSchedule, earlier: Earlier, now_ms: int) -> NewTick:
    """Return the row that stands for times of which nothing can be made up."""
    state, reason = TickState.MISSED, SUPERSEDED if schedule.is_once else NOT_RUNNING
    if skip_reason := _skip_reason(schedule, earlier.last):
        state, reason = TickState.SKIPPED, skip_reason
    error = f"and earlier ones since {utc_text(schedule.next_at)}" if earlier.is_more else ""
    row = _over(schedule, earlier.last, earlier.last, state, reason, now_ms)
    return row._replace(stands_for=earlier.number, error=error)


def _skip_reason(schedule: DueSchedule, time: int) -> str:
    if not schedule.is_enabled:
        return "disabled"
    if schedule.is_paused:
        return "paused"
    return "skip_next" if schedule.skip_until is not None and time <= schedule.skip_until else ""


def _over(
    schedule: DueSchedule, time: int, run_at: int, state: TickState, reason: str, now_ms: int
) -> NewTick:
    return NewTick(schedule.id, time, run_at, None, state, reason, finished_at=now_ms)


def _settle(
    schedule: DueSchedule, ticks: list[NewTick], now_ms: int, taken: Collection[int]
) -> list[NewTick]:
    """Leave out what has a tick; of a misfire-once schedule only the last one is made up."""
    if taken:
        ticks = [tick for tick in ticks if tick.scheduled_at not in taken]
    if not schedule.is_once:
        return ticks
    waiting = [
        number
        for number, tick in enumerate(ticks)
        if tick.state is TickState.DUE and tick.run_at <= now_ms
    ]
    for number in waiting[:-1]:
        ticks[number] = _over(
            schedule,
            ticks[number].scheduled_at,
            ticks[number].run_at,
            TickState.MISSED,
            SUPERSEDED,
            now_ms,
        )
    return ticks
