"""Which time a clock on the wall shows next when an expression matches; zones are unknown here.

The search jumps from field to field: a month is one step, whatever its days and weekdays are.
"""

from __future__ import annotations

from calendar import isleap
from datetime import UTC, date, datetime
from typing import Final

from engine.modules.cron.dialect.expression import Expression
from engine.modules.cron.dialect.fields import DAY, FIRST_YEAR, MONTH

_DAYS_TO_28: Final = DAY.bits(range(1, 29))
_MONTHS_OF_31: Final = MONTH.bits((1, 3, 5, 7, 8, 10, 12))
_ALL_BUT_FEBRUARY: Final = MONTH.all_values & ~MONTH.bits((2,))
_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EACH_WEEK: Final = sum(1 << 7 * week for week in range(6))
"""Times a set of weekdays, this is the same days of six weeks: more than any month touches."""


def next_wall_time(expression: Expression, start: datetime) -> datetime | None:
    """Return the first wall time that matches, at `start` or later; None if there is none.

    Args:
        expression: the rule.
        start: in whole seconds, written as UTC like the answer.
    """
    if start.year < FIRST_YEAR:
        start = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    today = (start.year, start.month, start.day)
    day = _next_day(expression, *today)
    if day == today:
        time = _next_time(expression, start.hour, start.minute, start.second)
        if time is not None:
            return datetime(*day, *time, tzinfo=UTC)
        day = _next_day(expression, start.year, start.month, start.day + 1)
    if day is None:
        return None
    hour, minute = _lowest(expression.hours), _lowest(expression.minutes)
    return datetime(*day, hour, minute, _lowest(expression.seconds), tzinfo=UTC)


def _next_time(
    expression: Expression, hour: int, minute: int, second: int
) -> tuple[int, int, int] | None:
    """Return hour, minute and second of the first match of a day, at a time or later."""
    hours, minutes, seconds = expression.hours, expression.minutes, expression.seconds
    if hours >> hour & 1:
        if minutes >> minute & 1 and seconds >> second:
            return hour, minute, _from(seconds, second)
        if minutes >> minute + 1:
            return hour, _from(minutes, minute + 1), _lowest(seconds)
    if hours >> hour + 1:
        return _from(hours, hour + 1), _lowest(minutes), _lowest(seconds)
    return None


def _next_day(
    expression: Expression, year: int, month: int, day: int
) -> tuple[int, int, int] | None:
    """Return year, month and day of the first date that matches, at a date or later.

    The day may be one more than the month has.
    """
    months = _possible_months(expression)
    while months and (years := expression.years >> (year - FIRST_YEAR)):
        if not years & 1:
            year, month, day = year + _lowest(years), 1, 1
        if not months >> month:
            year, month, day = year + 1, 1, 1
            continue
        if not months >> month & 1:
            month, day = _from(months, month), 1
        days = _days(expression, year, month) >> day
        if days:
            return year, month, day + _lowest(days)
        month, day = month + 1, 1
    return None


def _possible_months(expression: Expression) -> int:
    """Return the months that can have one of the days; without this, 30 February is sought long."""
    months, days = expression.months, expression.days
    if days & _DAYS_TO_28 or days >> 29 & 1:
        return months
    return months & (_ALL_BUT_FEBRUARY if days >> 30 & 1 else _MONTHS_OF_31)


def _days(expression: Expression, year: int, month: int) -> int:
    """Return the days of a month on which both day fields match, as bits."""
    length = 29 if month == 2 and isleap(year) else _LENGTHS[month]
    weekday_of_first = date(year, month, 1).isoweekday() % 7  # 0 is Sunday
    # Bit 0 is the Sunday of the week in which the month begins; then it is moved to the first.
    weekdays = (expression.weekdays >> 1) * _EACH_WEEK >> weekday_of_first << 1
    return expression.days & weekdays & ((2 << length) - 1)


def _from(bits: int, start: int) -> int:
    """Return the lowest bit that is set at `start` or above; there has to be one."""
    return start + _lowest(bits >> start)


def _lowest(bits: int) -> int:
    """Return the lowest bit that is set; there has to be one."""
    return (bits & -bits).bit_length() - 1
