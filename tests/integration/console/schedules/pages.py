"""Where the pages of schedules are, and what stands in them."""

from __future__ import annotations

import html
from typing import Any, Final

from django.contrib.admin.models import LogEntry
from django.test import Client

from engine.models import Schedule, Tick

SCHEDULES: Final = "/engine/schedule/"
TICK_LIST: Final = "/engine/tick/"
ADD: Final = "/engine/schedule/add/"
PREVIEW: Final = "/engine/schedule/preview/"

MINUTE_MS: Final = 60_000
NOON_MS: Final = 1_771_416_000_000
"""2026-02-18 12:00:00 UTC: ticks of then are deleted where an engine runs."""

State = Tick.State


def page(row: Schedule) -> str:
    return f"{SCHEDULES}{row.pk}/"


def text_of(client: Client, path: str) -> str:
    """Fetch a page, with single spaces."""
    answer = client.get(path)
    assert answer.status_code == 200, answer
    return html.unescape(" ".join(answer.text.split()))


def part(client: Client, row: Schedule, query: str = "") -> str:
    """Fetch what the script of a schedule's page fetches."""
    return text_of(client, f"{page(row)}?part=1{query}")


def log() -> list[tuple[str, int, str]]:
    lines = LogEntry.objects.order_by("pk")
    return [(each.object_repr, each.action_flag, each.change_message) for each in lines]


def typed(**fields: Any) -> dict[str, Any]:
    """Return what a browser sends for the form of a new schedule."""
    return {
        "schedule_id": "nightly",
        "function_id": "reports::make",
        "expression": "0 30 2 * * mon-fri *",
        "timezone": "Europe/Berlin",
        "payload": "",
        "overlap": "skip",
        "misfire": "skip",
        "jitter_ms": "0",
        "timeout_ms": "0",
        "condition_function_id": "",
        "namespace": "",
        "is_enabled": "on",
        **fields,
    }
