"""Rows as the parts of the module know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engine.modules.cron.records import ERROR_LIMIT, KnownSchedule, Settings, TickRecord, TickState

SCHEDULE_FIELDS: Final = (
    *("id", "schedule_id", "function_id", "expression", "timezone", "namespace"),
    *("condition_function_id", "payload", "overlap", "misfire", "jitter_ms", "timeout_ms"),
    *("repeat_interrupted", "is_enabled", "origin", "is_paused", "skip_until", "next_at"),
)
"""What `known` is made of, in this order."""

TICK_FIELDS: Final = (
    *("id", "schedule__schedule_id", "scheduled_at", "run_at", "state", "reason", "error"),
    *("is_manual", "stands_for", "attempts", "trigger_id", "trace_id", "started_at"),
    *("finished_at",),
)
"""What `tick_record` is made of, in this order."""


def known(row: Sequence[Any]) -> KnownSchedule:
    """Return a schedule from its `SCHEDULE_FIELDS`."""
    settings = Settings(
        schedule_id=row[1],
        function_id=row[2],
        expression=row[3],
        timezone=row[4],
        namespace=row[5],
        condition_function_id=row[6],
        payload=row[7].encode(),
        overlap=row[8],
        misfire=row[9],
        jitter_ms=row[10],
        timeout_ms=row[11],
        repeat_interrupted=bool(row[12]),
        is_enabled=bool(row[13]),
    )
    return KnownSchedule(
        id=row[0],
        settings=settings,
        is_persons=row[14] == "person",
        is_paused=bool(row[15]),
        skip_until=row[16] or 0,
        next_at=row[17],
    )


def setting_values(settings: Settings) -> dict[str, Any]:
    """Return what its owner says as the fields of `engine.models.Schedule`."""
    values: dict[str, Any] = {
        name: getattr(settings, name) for name in settings.__struct_fields__ if name != "payload"
    }
    return {**values, "payload": settings.payload.decode()}


def tick_record(row: Sequence[Any]) -> TickRecord:
    """Return a tick from its `TICK_FIELDS`."""
    return TickRecord(
        id=row[0],
        schedule_id=row[1],
        scheduled_at=row[2],
        run_at=row[3],
        state=TickState(row[4]),
        reason=row[5],
        error=row[6],
        is_manual=row[7],
        stands_for=row[8],
        attempts=row[9],
        trigger_id=row[10],
        trace_id=row[11],
        started_at=row[12],
        finished_at=row[13],
    )


def clean(text: str) -> str:
    """Return an error as both databases take it: it may hold NUL and lone surrogates."""
    return text[:ERROR_LIMIT].encode(errors="replace").decode().replace("\0", "�")
