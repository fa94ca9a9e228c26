"""The engines that run."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db import models
from django.db.models.functions import Now

NODE_LEASE: Final = dt.timedelta(seconds=30)
"""How long an engine counts as live after it was seen: two refreshes may fail."""


class EngineNode(models.Model):
    """A running engine: it writes its row at start, refreshes it, and deletes it at its end.

    Times are the database's own: clocks of machines differ.
    """

    id = models.UUIDField(primary_key=True)
    hostname = models.TextField()
    pid = models.BigIntegerField()
    version = models.TextField()
    url = models.TextField(blank=True, help_text="where Celery reaches it; empty: nobody said")
    runs_schedules = models.BooleanField(
        default=True, help_text="it ends the ticks of schedules, so they may be planned"
    )
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "engine node"

    def __str__(self) -> str:
        return f"{self.hostname}, process {self.pid}"


def live_nodes() -> models.QuerySet[EngineNode]:
    """Return the engines that were seen within the lease, by the clock of the database."""
    return EngineNode.objects.filter(seen_at__gt=Now() - NODE_LEASE).order_by("started_at")
