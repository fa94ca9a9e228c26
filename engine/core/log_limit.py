"""A warning that could come with every message comes once in a while, and counts the others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from time import monotonic


class LogLimit:
    """Lets one warning pass in an interval, from any thread.

    Args:
        logger: of whoever complains.
        interval_s: how long the next ones are only counted.
    """

    __slots__ = ("_held_back", "_interval_s", "_last", "_lock", "_logger")

    def __init__(self, logger: logging.Logger, interval_s: float) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._last = float("-inf")
        self._held_back = 0

    def warning(self, message: str, extra: Mapping[str, object] | None = None) -> None:
        """Log a message with its fields, or count it."""
        with self._lock:
            now = monotonic()
            if now - self._last < self._interval_s:
                self._held_back += 1
                return
            self._last = now
            more, self._held_back = self._held_back, 0
        self._logger.warning("%s%s", message, f" (and {more} more)" if more else "", extra=extra)
