"""When a rule, as rows hold it, is due: expressions and zones are read once, times remembered."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from engine.modules.cron.dialect.expression import Expression, parse_expression
from engine.modules.cron.dialect.occurrences import next_after, occurrences
from engine.modules.cron.dialect.zones import find_zone
from engine.modules.cron.times import at, unix_ms

MOST_RULES: Final = 4_096
MOST_TIMES: Final = 16_384
"""How much is remembered: many schedules share their rule and so their times."""


@lru_cache(maxsize=MOST_RULES)
def _read(expression: str) -> Expression:
    return parse_expression(expression)


@lru_cache(maxsize=MOST_TIMES)
def _next_second(expression: str, timezone: str, after_s: int) -> int | None:
    found = next_after(_read(expression), at(after_s * 1_000), find_zone(timezone))
    return None if found is None else unix_ms(found)


def next_time(expression: str, timezone: str, after_ms: int) -> int | None:
    """Return the first time of a rule after an instant; None if it is never due again.

    Raises:
        InvalidExpression: it cannot be read.
        UnknownZone: there is no such zone on this machine.
    """
    return _next_second(expression, timezone, after_ms // 1_000)


def times(expression: str, timezone: str, after_ms: int, until_ms: int) -> Iterator[int]:
    """Yield the times of a rule after an instant, until another one, which is included.

    Raises:
        InvalidExpression, UnknownZone: see `next_time`.
    """
    found = occurrences(_read(expression), at(after_ms), find_zone(timezone), until=at(until_ms))
    return map(unix_ms, found)


def is_same_rule(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Tell whether two pairs of expression and zone, both readable, are due at the same times."""
    return one == other or (one[1] == other[1] and _read(one[0]) == _read(other[0]))
