"""A long time that nobody has planned: which times of it are the last ones, how many are before."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from engine.modules.cron.store.rules import times

MOST_COUNTED: Final = 10_000
"""How many times are counted one by one; that there are more is said in words."""

MOST_GAPS: Final = 1_024
"""How many answers are remembered: schedules of one rule were left alone equally long."""

SECOND: Final = 1_000


class Earlier(NamedTuple):
    """The times of a gap that get no row of their own.

    Attributes:
        number: how many they are, at most `MOST_COUNTED`.
        is_more: there are more than that.
        last: the last one of them.
        following: the first time that gets a row of its own.
    """

    number: int
    is_more: bool
    last: int
    following: int


def look_back(
    expression: str, timezone: str, first: int, until_ms: int, kept: int
) -> Earlier | None:
    """Return what is before the last times of a gap; None if there is nothing.

    Args:
        expression: the rule.
        timezone: its zone.
        first: the first time of the gap.
        until_ms: the end of the gap, included.
        kept: how many times get a row of their own.
    """
    if until_ms - first < SECOND * kept:  # nothing is due more often than every second
        return None
    return _look_back(_Gap(expression, timezone, first, until_ms - until_ms % SECOND), kept)


class _Gap(NamedTuple):
    """The times of a rule between two of them; in Unix milliseconds, whole seconds."""

    expression: str
    timezone: str
    first: int
    until: int

    def times_after(self, start: int, most: int) -> list[int]:
        """Return the first times of the gap that are after an instant."""
        return list(islice(times(self.expression, self.timezone, start, self.until), most))

    def number(self, last: int, most: int) -> int:
        """Return how many times there are up to one of them; no more are counted than that."""
        found = times(self.expression, self.timezone, self.first - SECOND, last)
        return sum(1 for _ in islice(found, most))


@lru_cache(maxsize=MOST_GAPS)
def _look_back(gap: _Gap, kept: int) -> Earlier | None:
    if len(gap.times_after(gap.first - SECOND, kept + 1)) <= kept:
        return None
    found = _last_times(gap, kept)
    last, following = found[-kept - 1], found[-kept]
    count = gap.number(last, MOST_COUNTED + 1)
    return Earlier(min(count, MOST_COUNTED), count > MOST_COUNTED, last, following)


def _last_times(gap: _Gap, kept: int) -> list[int]:
    """Return more than `kept` of the last times of a gap that has them, at most twice as many.

    The search goes back in growing steps: how long the gap is makes little difference. A step too
    far is halved; the number of times changes by one a second at most, so some start fits.
    """
    most = 2 * kept
    start = few = gap.until
    many: int | None = None
    step = most * SECOND
    while True:
        if many is not None:
            start = (few + many) // (2 * SECOND) * SECOND
        else:
            start = max(gap.first - SECOND, start - step)
            step *= 2
        found = gap.times_after(start, most + 1)
        if len(found) <= kept:
            few = start
        elif len(found) <= most:
            return found
        else:
            many = start
