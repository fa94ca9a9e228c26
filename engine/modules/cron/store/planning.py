"""The clock's part: what is due becomes ticks, ahead of its time, in one transaction."""

from __future__ import annotations

from engine.modules.cron.records import Planned
from kv.stores.connection import StoreConnection


def plan(connection: StoreConnection, now_ms: int) -> Planned:
    """Write the ticks of all that is due until `now_ms + LEAD_MS`, and move its schedules on."""
    raise NotImplementedError


def rewind(connection: StoreConnection, now_ms: int) -> None:
    """Let schedules begin again at this time: the clock was set back."""
    raise NotImplementedError
