"""A schedule of a test's own, and what its ticks say: asked of the engine by a driver."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from tests.acceptance.raw_worker import CallFailed, RawWorker

SECOND_MS: Final = 1_000

# What is still on its way; all other states are final.
OPEN: Final = frozenset({"due", "running"})

_PAGE: Final = 500


class Tick(NamedTuple):
    """A time at which a schedule was due; times in Unix ms.

    Attributes:
        stands_for: how many times the row tells of, the last of which is its own.
    """

    scheduled_at: int
    state: str
    reason: str
    error: str
    is_manual: bool
    started_at: int | None
    trigger_id: str
    stands_for: int


class Schedule:
    """A schedule that is known by its id.

    Args:
        driver: what asks the engine about it.
        schedule_id: one that no other test uses by default.
    """

    def __init__(self, driver: RawWorker, schedule_id: str = "") -> None:
        self.id = schedule_id or f"schedule-{uuid.uuid4()}"
        self._driver = driver

    def listed(self) -> dict[str, Any] | None:
        """Return it as the engine lists it; None if it does not know it."""
        return {each["schedule_id"]: each for each in listed(self._driver, self.id)}.get(self.id)

    @property
    def state(self) -> str:
        """Its state; empty if the engine does not know it."""
        found = self.listed()
        return str(found["state"]) if found else ""

    def ticks(self) -> list[Tick]:
        """Return all that the engine keeps, in the order of their times."""
        return ticks_of(self._driver, self.id)

    def states(self) -> list[tuple[str, str]]:
        """Return state and reason of each tick that has ended."""
        return [(tick.state, tick.reason) for tick in self.ticks() if tick.state not in OPEN]


def listed(driver: RawWorker, search: str) -> list[dict[str, Any]]:
    """Return schedules whose id or function contains a text, as the engine lists them."""
    found: list[dict[str, Any]] = []
    while True:
        asked = {"search": search, "limit": _PAGE, "offset": len(found)}
        page = driver.call("engine::cron::list", asked)
        found += page["schedules"]
        if len(found) >= page["total"] or not page["schedules"]:
            return found


def ticks_of(driver: RawWorker, schedule_id: str) -> list[Tick]:
    """Return all ticks of a schedule that the engine keeps, in the order of their times.

    One that it does not know has none: a trigger is registered without an answer.
    """
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"schedule_id": schedule_id, "limit": _PAGE}
    while True:
        try:
            page = driver.call("engine::cron::ticks", asked)["ticks"]
        except CallFailed as error:
            if error.code != "schedule_not_found":
                raise
            return []
        found += page
        if len(page) < _PAGE:
            return sorted(map(_tick, found), key=lambda tick: tick.scheduled_at)
        asked["before_id"] = page[-1]["tick_id"]


def _tick(row: dict[str, Any]) -> Tick:
    started_at = row["started_at"]
    return Tick(
        unix_ms(row["scheduled_time"]),
        row["state"],
        row["reason"] or "",
        row["error"] or "",
        row["manual"],
        started_at and unix_ms(started_at),
        row["trigger_id"] or "",
        row["stands_for"],
    )


def unix_ms(text: str) -> int:
    """Return a time that is written as in RFC 3339; digits below microseconds are left out."""
    return round(dt.datetime.fromisoformat(text).timestamp() * SECOND_MS)


def now_ms() -> int:
    """Return the time in Unix ms."""
    return int(time.time() * SECOND_MS)


def in_utc(at_ms: int) -> dt.datetime:
    """Return a time that is given in Unix ms."""
    return dt.datetime.fromtimestamp(at_ms / SECOND_MS, dt.UTC)


def gaps(ticks: Sequence[Tick], every_ms: int = SECOND_MS) -> list[tuple[int, int]]:
    """Return between which times a schedule that is due at a steady rate has no tick."""
    planned = [tick for tick in ticks if not tick.is_manual]
    return [
        (before.scheduled_at, after.scheduled_at)
        for before, after in pairwise(planned)
        if after.scheduled_at - before.scheduled_at != after.stands_for * every_ms
    ]


def repeated(values: Iterable[int]) -> list[int]:
    """Return what is there more than once."""
    return sorted(value for value, times in Counter(values).items() if times > 1)
