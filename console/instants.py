"""Instants as rows keep them."""

from __future__ import annotations

import datetime as dt


def instant(unix_ms: int) -> dt.datetime:
    """Turn Unix milliseconds into an instant.

    Raises:
        ValueError: it is after the year 9999.
    """
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
