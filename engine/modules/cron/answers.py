"""Schedules and ticks as functions answer them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import Any

from engine.core.errors import EngineError
from engine.modules.cron.arguments import TICK_STATES
from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.occurrences import occurrences
from engine.modules.cron.dialect.words import describe
from engine.modules.cron.dialect.zones import find_zone
from engine.modules.cron.records import ListedSchedule, TickRecord, TickState
from engine.modules.cron.times import at, local_text, unix_ms, utc_text


def schedule_answer(listed: ListedSchedule, now_ms: int) -> dict[str, Any]:
    """Return a schedule with its settings, its state, its next time and its last run."""
    known = listed.known
    settings = known.settings
    next_at = None if listed.ended_at is not None else known.next_at
    zone: tzinfo
    try:
        zone = find_zone(settings.timezone)
        words = describe(parse_expression(settings.expression))
    except EngineError as error:  # written by another release, or for zones of another machine
        zone, words = UTC, f"cannot be read here: {error}"
    return {
        "schedule_id": settings.schedule_id,
        "origin": "person" if known.is_persons else "worker",
        "function_id": settings.function_id,
        "namespace": settings.namespace,
        "expression": settings.expression,
        "description": words,
        "timezone": settings.timezone,
        "condition_function_id": settings.condition_function_id or None,
        "overlap": settings.overlap,
        "misfire": settings.misfire,
        "jitter_ms": settings.jitter_ms,
        "timeout_ms": settings.timeout_ms,
        "repeat_interrupted": settings.repeat_interrupted,
        "enabled": settings.is_enabled,
        "paused": known.is_paused,
        "state": schedule_state(listed),
        "next_run": None if next_at is None else utc_text(next_at),
        "next_run_local": None if next_at is None else local_text(next_at, zone),
        "skip_next": known.skip_until >= now_ms,
        "last_run": None if listed.last is None else _run_answer(listed.last, now_ms),
    }


def schedule_state(listed: ListedSchedule) -> str:
    """Return `ended`, `detached`, `disabled`, `paused` or `active`, the first that is true.

    One that is never due again has ended, too, though its trigger may be there.
    """
    if listed.ended_at is not None or listed.known.next_at is None:
        return "ended"
    if listed.detached_at is not None:
        return "detached"
    if not listed.known.settings.is_enabled:
        return "disabled"
    return "paused" if listed.known.is_paused else "active"


def tick_answer(tick: TickRecord, now_ms: int) -> dict[str, Any]:
    """Return a tick with all that is known of it."""
    return {
        "tick_id": tick.id,
        "schedule_id": tick.schedule_id,
        **_run_answer(tick, now_ms),
        "manual": tick.is_manual,
        "finished_at": None if tick.finished_at is None else utc_text(tick.finished_at),
        "trigger_id": tick.trigger_id or None,
        "trace_id": tick.trace_id or None,
        "stands_for": tick.stands_for,
    }


def next_answer(expression: str, timezone: str, after_ms: int, count: int) -> dict[str, Any]:
    """Return an expression in words and the times at which it is due next.

    Raises:
        InvalidExpression: it cannot be read.
        UnknownZone: there is no such time zone.
    """
    parsed, zone = parse_expression(expression), find_zone(timezone)
    found: Iterator[int] = map(unix_ms, occurrences(parsed, at(after_ms), zone))
    times = [each for _, each in zip(range(count), found, strict=False)]
    return {
        "description": describe(parsed),
        "timezone": timezone,
        "runs": [{"utc": utc_text(each), "local": local_text(each, zone)} for each in times],
    }


def _run_answer(tick: TickRecord, now_ms: int) -> dict[str, Any]:
    # An engine claims it a little before its time.
    is_ahead = tick.state is TickState.CLAIMED and tick.run_at > now_ms
    state = TickState.DUE if is_ahead else tick.state
    started, finished = tick.started_at, tick.finished_at
    has_both = started is not None and finished is not None
    return {
        "scheduled_time": utc_text(tick.scheduled_at),
        "state": TICK_STATES[state],
        "reason": tick.reason or None,
        "error": tick.error or None,
        "started_at": None if started is None else utc_text(started),
        "duration_ms": finished - started if has_both else None,  # type: ignore[operator]
        "lateness_ms": None if started is None else started - tick.run_at,
    }
