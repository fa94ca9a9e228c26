"""The clock's part: what is due becomes ticks, ahead of its time, in short transactions."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.core.errors import EngineError
from engine.core.log_limit import LogLimit
from engine.modules.cron.records import LEAD_MS, Planned, TickState
from engine.modules.cron.store.foresight import (
    DueSchedule,
    Foreseen,
    NewTick,
    first_due_at,
    foresee,
)
from engine.modules.cron.store.plan_statements import POSTGRES, SQLITE, Advance, PlanStatements
from engine.modules.cron.store.rules import next_time
from kv.stores.connection import StoreConnection

logger = logging.getLogger(__name__)
_warnings: Final = LogLimit(logger, 60.0)

SCHEDULES_AT_ONCE: Final = 500
TICKS_AT_ONCE: Final = 2_000
SECONDS_AT_ONCE: Final = 0.1
"""What one transaction plans at most, more or less: what else is to be written comes in between."""

LOOK_S: Final = 0.5
"""How long one look at the clock plans, more or less: then what it has planned should run."""

UNREADABLE_RETRY_MS: Final = 60_000
"""When a schedule whose rule cannot be read here is looked at again."""


class Step(NamedTuple):
    """What one transaction has planned.

    Attributes:
        ticks: how many are to be run.
        has_more: more may be due.
        urls: of the engines that may run them.
    """

    ticks: int
    has_more: bool
    urls: frozenset[str]


def plan(connection: StoreConnection, now_ms: int) -> Planned:
    """Write the ticks of all that is due until `now_ms + LEAD_MS`, and move its schedules on."""
    ticks, urls = 0, set[str]()
    deadline = time.monotonic() + LOOK_S
    has_more = True
    while has_more and time.monotonic() < deadline:
        with connection.transaction():
            step = plan_some(connection, now_ms)
        ticks += step.ticks
        urls |= step.urls
        has_more = step.has_more
    return Planned(ticks, next_due_at(connection), sorted(urls))


def plan_some(connection: StoreConnection, now_ms: int) -> Step:
    """Plan what is due, as much as one transaction should."""
    statements = statements_for(connection)
    found = statements.due(connection, now_ms + LEAD_MS, SCHEDULES_AT_ONCE)
    if not found:
        return Step(0, False, frozenset())
    deadline = time.monotonic() + SECONDS_AT_ONCE
    ticks: list[NewTick] = []
    advances: list[Advance] = []
    looked_at = 0
    for schedule, last in found:
        looked_at += 1
        foreseen = _foresee(connection, statements, schedule, last, now_ms)
        if foreseen is None:
            statements.postpone(connection, schedule.id, now_ms + UNREADABLE_RETRY_MS)
            continue
        ticks += foreseen.ticks
        advances.append(
            Advance(schedule.id, foreseen.next_at, foreseen.due_at, len(foreseen.ticks))
        )
        if len(ticks) >= TICKS_AT_ONCE or time.monotonic() > deadline:
            break
    _write(connection, statements, ticks, advances)
    due = [tick.schedule for tick in ticks if tick.state is TickState.DUE]
    return Step(
        len(due),
        looked_at < len(found) or len(found) == SCHEDULES_AT_ONCE,
        frozenset(statements.urls(connection, due)) if due else frozenset(),
    )


def catch_up(
    connection: StoreConnection, schedules: Sequence[DueSchedule], now_ms: int
) -> dict[int, Foreseen]:
    """Plan schedules that are about to change, as they were; return what became of each row.

    Their rows are locked. One whose rule cannot be read is left out.
    """
    statements = statements_for(connection)
    made: dict[int, Foreseen] = {}
    for schedule in schedules:
        # All that has a tick is asked for: this is seldom.
        foreseen = _foresee(connection, statements, schedule, schedule.next_at, now_ms)
        if foreseen is not None:
            made[schedule.id] = foreseen
    _write(
        connection,
        statements,
        [tick for foreseen in made.values() for tick in foreseen.ticks],
        [
            Advance(row_id, foreseen.next_at, foreseen.due_at, len(foreseen.ticks))
            for row_id, foreseen in made.items()
        ],
    )
    return made


def _foresee(
    connection: StoreConnection,
    statements: PlanStatements,
    schedule: DueSchedule,
    last: int | None,
    now_ms: int,
) -> Foreseen | None:
    """Return what becomes of a schedule; None if its rule cannot be read here."""
    taken: set[int] = set()
    if last is not None and last >= schedule.next_at:  # the clock was set back
        taken = statements.times_taken(connection, schedule.id, schedule.next_at, now_ms + LEAD_MS)
    try:
        return foresee(schedule, now_ms, taken, draw)
    except EngineError as error:
        _warnings.warning(
            f"a schedule cannot be planned, it is looked at again in "
            f"{UNREADABLE_RETRY_MS // 1_000} s: {error}",
            {"expression": schedule.expression, "timezone": schedule.timezone},
        )
        return None


def _write(
    connection: StoreConnection,
    statements: PlanStatements,
    ticks: Sequence[NewTick],
    advances: Sequence[Advance],
) -> None:
    if ticks:
        statements.insert(connection, ticks)
    if advances:
        statements.advance(connection, advances)


def next_due_at(connection: StoreConnection) -> int | None:
    """Return when the next schedule is due; it may be past."""
    return statements_for(connection).next_due_at(connection)


def rewind(connection: StoreConnection, now_ms: int) -> None:
    """Let schedules begin again at this time: the clock was set back."""
    after = 0
    while True:
        with connection.transaction():
            last = rewind_some(connection, now_ms, after)
        if last is None:
            return
        after = last


def rewind_some(connection: StoreConnection, now_ms: int, after: int) -> int | None:
    """Rewind schedules whose row comes after one; return the last one, None at the end."""
    statements = statements_for(connection)
    found = statements.unended(connection, after, SCHEDULES_AT_ONCE)
    advances: list[Advance] = []
    for row_id, expression, timezone, jitter_ms, next_at in found:
        try:
            time_then = next_time(expression, timezone, now_ms)
            if time_then is None or (next_at is not None and next_at <= time_then):
                continue
            due_at = first_due_at(expression, timezone, time_then, jitter_ms, draw)
        except EngineError:
            continue  # planning says so
        advances.append(Advance(row_id, time_then, due_at, 0))
    if advances:
        statements.advance(connection, advances)
    return found[-1][0] if len(found) == SCHEDULES_AT_ONCE else None


def statements_for(connection: StoreConnection) -> PlanStatements:
    """Return the statements of the connection's database."""
    return SQLITE if connection.is_sqlite else POSTGRES


def draw(most: int) -> int:
    """Return the jitter of one time."""
    return random.randint(0, most)
