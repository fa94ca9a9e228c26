"""The first page: how much of everything there is, and what to do when there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.http import HttpRequest

from console.live.addresses import worker_url
from console.live.functions import list_functions
from console.live.page import LivePage
from console.live.queues import VIEW_QUEUES
from console.live.schedules import VIEW_SCHEDULES
from console.live.trigger_types import list_trigger_types
from console.live.workers import list_workers
from console.queue_calls import NoQueueModule, QueueEntry, list_queues
from console.schedule_rows import totals
from engine.apps import get_engine
from engine.models import Trigger


@dataclass(frozen=True, slots=True)
class QueueTotals:
    """Figures of all queues together."""

    count: int
    depth: int
    dead: int

    @classmethod
    def of(cls, queues: Sequence[QueueEntry]) -> QueueTotals:
        """Add them up."""
        depth = sum(each.depth for each in queues)
        return cls(len(queues), depth, sum(each.dlq_depth for each in queues))


class OverviewPage(LivePage):
    """The index of the console; each figure is shown to those who may see what it counts."""

    title = "Overview"
    page_template = "console/index.html"
    part_template = "console/live/overview.html"

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Count what the user may see."""
        get_engine()
        may = request.user.has_perm
        context: dict[str, Any] = {"worker_url": worker_url(request)}
        if may("console.view_workers"):
            context["workers"] = list_workers()
        if may("console.view_functions"):
            context["functions"] = list_functions()
        if may("console.view_trigger_types"):
            context["trigger_types"] = list_trigger_types()
        if may("engine.view_trigger"):
            context["triggers"] = count_triggers()
        if may(VIEW_QUEUES):
            with suppress(NoQueueModule):
                context["queues"] = QueueTotals.of(list_queues().queues)
        if may(VIEW_SCHEDULES):
            context["schedules"] = totals()
        return context


def count_triggers() -> dict[str, int]:
    """Count the triggers whose owner is here, by state, and all of them as `all`."""
    states = Trigger.objects.filter(detached_at=None).values_list("state")
    counts = dict(states.annotate(Count("pk")).order_by())
    return {"all": sum(counts.values()), **counts}
