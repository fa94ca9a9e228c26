"""A cron expression in plain English, for people who type one.

The words are made from the values, not from the text: two spellings of one rule read the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from math import prod
from typing import Final

from engine.modules.cron.dialect.expression import Expression
from engine.modules.cron.dialect.fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    MONTH_NAMES,
    SECOND,
    WEEKDAY,
    WEEKDAY_NAMES,
    YEAR,
    Field,
    runs,
    step_of,
)

MOST_CLOCK_TIMES: Final = 6
"""How many times of a day are written out; more are put as minutes and hours."""

MOST_SPANS: Final = 2
"""How many parts of a day are given with their ends; more are put as hours."""

_ZERO: Final = 1
"""The bits of a field whose only value is 0."""


def describe(expression: Expression) -> str:
    """Return what an expression names: `at 09:00 on Mondays to Fridays`.

    Clock times have seconds only where one of them is not 0.
    """
    time = _spans(expression)
    is_clock = time is None
    if time is None:
        time = f"at {_join(_clock_times(expression))}"
    parts = (time, _date(expression, is_clock=is_clock), _years(expression))
    return " ".join(part for part in parts if part)


def _clock_times(expression: Expression) -> list[str]:
    hours, minutes = HOUR.values(expression.hours), MINUTE.values(expression.minutes)
    if expression.seconds == _ZERO:
        return [f"{hour:02}:{minute:02}" for hour, minute in product(hours, minutes)]
    times = product(hours, minutes, SECOND.values(expression.seconds))
    return [f"{hour:02}:{minute:02}:{second:02}" for hour, minute, second in times]


def _spans(expression: Expression) -> str | None:
    """Return the times of a day as what they repeat; None if a list of them says it best."""
    fields = (expression.hours, expression.minutes, expression.seconds)
    if prod(bits.bit_count() for bits in fields) <= MOST_CLOCK_TIMES:
        return None
    if expression.seconds == expression.minutes == _ZERO:
        return _whole_hours(expression.hours)
    return _intervals(expression)


def _intervals(expression: Expression) -> str:
    """Return the times of a day as seconds of minutes of hours."""
    if expression.seconds == _ZERO:
        minutes = _every(MINUTE, "minute", expression.minutes)
        if minutes:
            return f"{minutes}{_within_hours(expression.hours)}"
        numbers = _numbered("minute", MINUTE.values(expression.minutes))
        return f"at {numbers}{_of_hours(expression.hours)}"
    seconds = _every(SECOND, "second", expression.seconds)
    lead = seconds or f"at {_numbered('second', SECOND.values(expression.seconds))}"
    if expression.minutes == MINUTE.all_values:
        of_minutes = "" if seconds else " of every minute"
        return f"{lead}{of_minutes}{_within_hours(expression.hours)}"
    link = "in" if seconds else "of"
    numbers = _numbered("minute", MINUTE.values(expression.minutes))
    return f"{lead} {link} {numbers}{_of_hours(expression.hours)}"


def _whole_hours(hours: int) -> str | None:
    every = _every(HOUR, "hour", hours)
    if every is not None:
        return every
    values = HOUR.values(hours)
    is_run = step_of(values) == 1
    return f"every hour from {values[0]:02}:00 to {values[-1]:02}:00" if is_run else None


def _within_hours(hours: int) -> str:
    """Return the hours, after something that happens throughout them; nothing for all."""
    if hours == HOUR.all_values:
        return ""
    spans = runs(HOUR.values(hours))
    if len(spans) > MOST_SPANS:
        return f" in {_numbered('hour', HOUR.values(hours))}"
    return f" from {_join(_hour_span(*each) for each in spans)}"


def _hour_span(first: int, last: int) -> str:
    return f"{first:02}:00 to {last:02}:59"


def _of_hours(hours: int) -> str:
    """Return the hours, after minutes that are numbered."""
    if hours == HOUR.all_values:
        return " of every hour"
    return f" of {_numbered('hour', HOUR.values(hours))}"


def _every(field: Field, unit: str, bits: int) -> str | None:
    """Return `every second` or `every 5 seconds`; None if the values are not so even."""
    if bits == field.all_values:
        return f"every {unit}"
    values = field.values(bits)
    step = step_of(values)
    return f"every {step} {unit}s" if step and field.is_every(values, step) else None


def _date(expression: Expression, *, is_clock: bool) -> str:
    """Return the days; nothing for every day, unless a clock time needs it."""
    months = ""
    if expression.months != MONTH.all_values:
        months = _ranges(MONTH.values(expression.months), MONTH_NAMES.__getitem__)
    if expression.days != DAY.all_values:
        return f"on {_days(expression, months)}{_condition(expression)}"
    if expression.weekdays != WEEKDAY.all_values:
        days = _ranges(WEEKDAY.values(expression.weekdays), lambda day: f"{WEEKDAY_NAMES[day]}s")
        return f"on {days} in {months}" if months else f"on {days}"
    if is_clock:
        return f"every day in {months}" if months else "every day"
    return f"in {months}" if months else ""


def _days(expression: Expression, months: str) -> str:
    days = DAY.values(expression.days)
    if len(days) == 1 and expression.months.bit_count() == 1:
        return f"{days[0]} {months}"
    return f"{_numbered('day', days)} of {months or 'every month'}"


def _condition(expression: Expression) -> str:
    """Return the weekdays as what they are beside days of the month: both have to match."""
    if expression.weekdays == WEEKDAY.all_values:
        return ""
    weekdays = WEEKDAY.values(expression.weekdays)
    return f" if that is a {_ranges(weekdays, WEEKDAY_NAMES.__getitem__, last_link='or')}"


def _years(expression: Expression) -> str:
    if expression.years == YEAR.all_values:
        return ""
    values = YEAR.values(expression.years)
    if len(values) > 1 and step_of(values) == 1:
        return f"from {values[0]} to {values[-1]}"
    return f"in {_ranges(values, str)}"


def _numbered(unit: str, values: list[int]) -> str:
    return f"{unit} {values[0]}" if len(values) == 1 else f"{unit}s {_ranges(values, str)}"


def _ranges(values: list[int], word: Callable[[int], str], last_link: str = "and") -> str:
    """Return values as words: `1 to 3 and 7`; evenly spaced ones as `0, 7, 14 … 56`."""
    if len(values) > 4 and step_of(values) > 1:
        return f"{', '.join(map(word, values[:3]))} … {word(values[-1])}"
    words: list[str] = []
    for first, last in runs(values):
        if last - first < 2:
            words += map(word, range(first, last + 1))
        else:
            words.append(f"{word(first)} to {word(last)}")
    return _join(words, last_link)


def _join(words: Iterable[str], last_link: str = "and") -> str:
    *others, last = words
    return f"{', '.join(others)} {last_link} {last}" if others else last
