"""Times as texts: RFC 3339, in UTC and in a schedule's zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

CACHED_SECONDS: Final = 64
"""Seconds whose text is remembered: all that is due at once shares one."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def at(unix_ms: int) -> datetime:
    """Return an instant as a time in UTC."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def unix_ms(instant: datetime) -> int:
    """Return an aware time as Unix milliseconds."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def utc_text(unix_ms: int) -> str:
    """Return an instant as `2026-02-18T10:00:30+00:00`, with milliseconds if it has some."""
    second, fraction = divmod(unix_ms, 1_000)
    rest = f".{fraction:03}" if fraction else ""
    return f"{second_text(second)}{rest}+00:00"


def local_text(unix_ms: int, zone: tzinfo) -> str:
    """Return an instant by the clocks of a zone: `2026-02-18T11:00:30+01:00`."""
    return at(unix_ms).astimezone(zone).isoformat()


@lru_cache(maxsize=CACHED_SECONDS)
def second_text(unix_s: int) -> str:
    """Return a second in UTC without its zone: `2026-02-18T10:00:30`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
