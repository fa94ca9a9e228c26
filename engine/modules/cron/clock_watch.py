"""Notices when schedules are due and nothing plans them: the clock may be another process."""

from __future__ import annotations

import logging
from typing import Any, Final

from engine.core.log_limit import LogLimit
from kv.clock import now_ms

logger = logging.getLogger(__name__)

OVERDUE_MS: Final = 15_000
"""How long a schedule may be due and not planned: after an outage there may be many."""

COMPLAINT_INTERVAL_S: Final = 60.0

ADVICE: Final = (
    "does the clock run? It is `celery -A iiiproject beat`, or a thread of the engine where no "
    "broker is configured"
)


class ClockWatch:
    """Knows for how long schedules have waited for the clock, and says so."""

    def __init__(self) -> None:
        self._since = now_ms()
        self._overdue_ms = 0
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    def note(self, next_due_at: int | None) -> None:
        """Learn when the next schedule is due; what was due before this began does not count."""
        now = now_ms()
        due_at = now if next_due_at is None else max(next_due_at, self._since)
        self._overdue_ms = now - due_at if now - due_at > OVERDUE_MS else 0
        if self._overdue_ms:
            self._complaints.warning(self._problem)

    def health(self) -> dict[str, Any]:
        """Say how it is: `{status, details}`."""
        if not self._overdue_ms:
            return {"status": "healthy", "details": {}}
        return {"status": "unhealthy", "details": {"clock": self._problem}}

    @property
    def _problem(self) -> str:
        return f"schedules have been due for {self._overdue_ms // 1_000} s, unplanned; {ADVICE}"
