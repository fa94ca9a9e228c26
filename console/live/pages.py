"""Every live page with a URL of its own, in the order of the sidebar."""

from __future__ import annotations

from typing import Final

from console.live.functions import FunctionPage, FunctionsPage
from console.live.page import LivePage
from console.live.queues import QueuePage, QueuesPage
from console.live.schedules import SchedulePage
from console.live.trigger_types import TriggerTypePage, TriggerTypesPage
from console.live.workers import WorkerPage, WorkersPage

PAGES: Final[tuple[type[LivePage], ...]] = (
    WorkersPage,
    WorkerPage,
    FunctionsPage,
    FunctionPage,
    TriggerTypesPage,
    TriggerTypePage,
    QueuesPage,
    QueuePage,
    SchedulePage,
)
