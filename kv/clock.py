"""The present as entries count it."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the present in Unix milliseconds."""
    return time.time_ns() // 1_000_000
