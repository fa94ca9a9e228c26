"""The instants at which an expression is due in a time zone, clock changes included.

Wall times are written as `datetime`s in UTC here: their arithmetic knows no zone, and less the
offset of the zone they are the instant. `datetime.replace` is avoided where it can be, as it takes
longer than the search in the calendar.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from engine.modules.cron.dialect.expression import Expression
from engine.modules.cron.dialect.fields import FIRST_YEAR, LAST_YEAR
from engine.modules.cron.dialect.wall_clock import next_wall_time

_SECOND: Final = timedelta(seconds=1)

# No clock in the world is a day away from UTC, so nothing is due outside of these.
_BEFORE_ALL: Final = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) - timedelta(days=1)
_AFTER_ALL: Final = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) + timedelta(days=1)


def next_after(expression: Expression, instant: datetime, zone: tzinfo = UTC) -> datetime | None:
    """Return the first instant at which an expression is due, later than the one given.

    When clocks are changed in the zone, it depends on the expression's hours. Named one by one
    (`2`, or `1,2`), each time is due once that day: what lies in the hour that is left out is
    due when that hour has passed, once, and what lies in the hour that comes twice is due the
    first time only. With `*`, a range or a step, every second whose wall time matches is due:
    none in the hour that is left out, and both of the hour that comes twice.

    Args:
        expression: the rule.
        instant: aware; not included.
        zone: whose wall clock the expression is about, from `find_zone`.

    Returns:
        Aware, UTC, in whole seconds; None if the expression is never due again.

    Raises:
        ValueError: the instant is naive.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} is naive; give an instant with its zone")
    if instant > _AFTER_ALL:
        return None
    second = max(instant, _BEFORE_ALL).astimezone(UTC)
    second -= timedelta(microseconds=second.microsecond)
    if expression.has_fixed_hours:
        return _next_at_fixed_hours(expression, second, zone)
    return _next_at_any_hours(expression, second + _SECOND, zone)


def occurrences(
    expression: Expression, after: datetime, zone: tzinfo = UTC, *, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the instants at which an expression is due, in their order, as `next_after` does.

    Args:
        expression: the rule.
        after: aware; not included.
        zone: whose wall clock the expression is about.
        until: aware, included; None for all there are.
    """
    due = next_after(expression, after, zone)
    while due is not None and (until is None or due <= until):
        yield due
        due = next_after(expression, due, zone)


def _next_at_fixed_hours(expression: Expression, second: datetime, zone: tzinfo) -> datetime | None:
    # From the second before: at the end of a gap the wall time is past all that was left out.
    local = second.astimezone(zone)
    offset = _offset(local)
    wall = second + offset + _SECOND
    if local.fold:
        before = _offset(local.replace(fold=0))
        wall = _change(second + offset, before, offset, zone) + before
    found = next_wall_time(expression, wall)
    if found is None:
        return None
    before, after = _offsets_around(found, zone)
    return found - before if before == after else _change(found, before, after, zone)


def _next_at_any_hours(expression: Expression, start: datetime, zone: tzinfo) -> datetime | None:
    local = start.astimezone(zone)
    offset = _offset(local)
    other = _offset(local.replace(fold=1 - local.fold))
    if offset == other:
        return _next_that_exists(expression, start + offset, zone)
    # The wall time comes twice: look through what is left of its first hour, then the second.
    before, after = (other, offset) if local.fold else (offset, other)
    change = _change(start + offset, before, after, zone)
    spans = [(start + offset, offset)]
    if not local.fold:
        spans.append((change + after, after))
    for wall, span_offset in spans:
        found = next_wall_time(expression, wall)
        if found is not None and found < change + before:
            return found - span_offset
    return _next_that_exists(expression, change + before, zone)


def _next_that_exists(expression: Expression, wall: datetime, zone: tzinfo) -> datetime | None:
    """Return the instant of the first match that is not left out, at a wall time or later."""
    found = next_wall_time(expression, wall)
    while found is not None:
        before, after = _offsets_around(found, zone)
        if before == after:
            return found - before
        found = next_wall_time(expression, _change(found, before, after, zone) + after)
    return None


def _offsets_around(wall: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """Return the offset of a wall time, and the one that its instant really has.

    They differ if the wall time is left out: they are those before and after the change then. If
    it comes twice, the offset is that of the first time.
    """
    before = zone.utcoffset(wall)
    assert before is not None
    return before, _offset((wall - before).astimezone(zone))


def _change(wall: datetime, before: timedelta, after: timedelta, zone: tzinfo) -> datetime:
    """Return the instant of the change that leaves a wall time out, or makes it come twice."""
    start = wall - max(before, after)
    length = round(abs(after - before) / _SECOND)

    def is_changed(seconds: int) -> bool:
        return _offset((start + timedelta(seconds=seconds)).astimezone(zone)) == after

    return start + timedelta(seconds=bisect_left(range(length), True, key=is_changed))


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None, "it comes from `astimezone`"
    return offset
