"""When a cron expression is due, for people: in words, in its zone and in UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.core.errors import EngineError
from engine.modules.cron.dialect.expression import Expression, parse_expression
from engine.modules.cron.dialect.occurrences import occurrences
from engine.modules.cron.dialect.words import describe
from engine.modules.cron.dialect.zones import UnknownZone, find_zone

PREVIEW_RUNS: Final = 5

SHORT: Final = "%Y-%m-%d %H:%M:%S"
FORMAT: Final = f"%a {SHORT}"


@dataclass(frozen=True, slots=True)
class LocalTime:
    """An instant, and what clocks of a zone show then.

    Attributes:
        utc: the instant.
        at: the same in the zone.
    """

    utc: dt.datetime
    at: dt.datetime

    @property
    def is_utc(self) -> bool:
        """Whether the zone is UTC: then there is only one way to say it."""
        return self.at.tzinfo == dt.UTC

    @property
    def first(self) -> str:
        """How it is called where the schedule is at home, with the short name of the zone."""
        return f"{self.at:{FORMAT} %Z}"

    @property
    def shown_utc(self) -> str:
        """Its reading in UTC."""
        return f"{self.utc:{FORMAT}} UTC"

    @property
    def short(self) -> str:
        """As `first`, without the day of the week."""
        return f"{self.at:{SHORT} %Z}"

    @property
    def short_utc(self) -> str:
        """As `shown_utc`, without the day of the week."""
        return f"{self.utc:{SHORT}} UTC"


def local_time(utc: dt.datetime, zone: ZoneInfo | str) -> LocalTime:
    """Read an instant on the clocks of a zone; UTC stands in for one that is not known any more."""
    if isinstance(zone, str):
        try:
            zone = find_zone(zone)
        except UnknownZone:
            return LocalTime(utc, utc)
    return LocalTime(utc, utc if zone.key == "UTC" else utc.astimezone(zone))


def upcoming(expression: Expression, zone: ZoneInfo, after: dt.datetime) -> Iterator[LocalTime]:
    """Yield the times at which an expression is due."""
    return (local_time(each, zone) for each in occurrences(expression, after, zone))


def preview(expression: str, timezone: str, now: dt.datetime) -> dict[str, Any]:
    """Say what an expression means, or what is wrong with it, as JSON for a page's script.

    Returns:
        `description`, `timezone` and `runs`, each with `utc`, `shown_utc` and `local`, which is
        empty where it is the same; or `error` and `field`, the form's field that is wrong.
    """
    try:
        zone = find_zone(timezone or "UTC")
    except UnknownZone as error:
        return {"field": "timezone", "error": error.message}
    try:
        parsed = parse_expression(expression)
    except EngineError as error:
        return {"field": "expression", "error": error.message}
    runs = islice(upcoming(parsed, zone, now), PREVIEW_RUNS)
    return {
        "description": describe(parsed),
        "timezone": zone.key,
        "runs": [
            {
                "utc": each.utc.isoformat(),
                "shown_utc": each.shown_utc,
                "local": "" if each.is_utc else each.first,
            }
            for each in runs
        ],
    }
