"""An engine with the queue module on every kind of store, and workers of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from engine.core.modules import AdapterChoice
from engine.modules.queue.config import BuiltinQueueAdapter, BuiltinQueueOptions
from engine.modules.queue.module import QueueModule
from tests.integration.engine.modules.queue.support import QueueWorker
from tests.store_engine import Setting, running_setting


@pytest.fixture
def queue_options() -> dict[str, Any]:
    """Options of the adapter; tests replace it."""
    return {}


@pytest.fixture
def named_queues() -> dict[str, Any]:
    """The named queues; tests replace it."""
    return {}


@pytest_asyncio.fixture
async def setting(
    place: tuple[str, str], queue_options: dict[str, Any], named_queues: dict[str, Any]
) -> AsyncIterator[Setting]:
    """An engine with the queue module on one kind of store."""
    method = "in_memory" if place[0] == "memory" else "file_based"
    options = BuiltinQueueOptions(store_method=method, **queue_options)
    adapter = AdapterChoice(BuiltinQueueAdapter, options)
    async with running_setting(
        place, (QueueModule, {"adapter": adapter, "queue_configs": named_queues})
    ) as setting:
        yield setting


@pytest.fixture
def worker(setting: Setting) -> QueueWorker:
    """A worker of the engine."""
    return QueueWorker(setting.engine)
