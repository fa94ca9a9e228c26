"""The clock of a caller that does not wait for answers before it calls again."""

from __future__ import annotations


class Pace:
    """Tells how many calls are due at a steady rate, from the moment it is first asked.

    What a late question missed is due at once: the load does not shrink because somebody is slow.
    """

    def __init__(self, calls_per_s: float) -> None:
        self._calls_per_s = calls_per_s
        self._began: float | None = None
        self._told = 0

    def due(self, now: float) -> int:
        """Return how many calls became due since this was last asked.

        Args:
            now: seconds of a clock that never goes back.
        """
        if self._began is None:
            self._began = now
        told, self._told = self._told, int((now - self._began) * self._calls_per_s)
        return self._told - told
