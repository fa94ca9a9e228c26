"""The admins of what has a table, one file for each; Django finds them by importing this."""

from __future__ import annotations

from console.admin import (
    accounts,
    celery_tasks,
    kv,
    queues,
    schedules,
    state,
    streams,
    ticks,
    triggers,
)

__all__ = [
    "accounts",
    "celery_tasks",
    "kv",
    "queues",
    "schedules",
    "state",
    "streams",
    "ticks",
    "triggers",
]
