"""An engine with queues in a thread of its own, and a worker that subscribes to a topic of it."""

from __future__ import annotations

from typing import Any, Final

from console.engine_calls import call
from engine.core.modules import AdapterChoice, Module
from engine.modules.queue.config import BuiltinQueueAdapter, BuiltinQueueOptions
from engine.modules.queue.module import QueueModule
from tests.integration.module_thread import ModuleThread, ThreadWorker
from tests.waiting import wait_until

DIES_AT_ONCE: Final = {"maxRetries": 0}


class QueueThread(ModuleThread):
    """An engine with the queue module, its messages in the database or in memory."""

    def __init__(self, store_method: str = "file_based") -> None:
        self._options = BuiltinQueueOptions.model_validate({"store_method": store_method})
        super().__init__()

    @property
    def module(self) -> tuple[type[Module], dict[str, Any]]:
        choice = AdapterChoice(BuiltinQueueAdapter, self._options)
        return QueueModule, {"adapter": choice, "queue_configs": {"payment": {"concurrency": 2}}}


class Shop(ThreadWorker):
    """A worker that subscribes to the topic `orders`."""

    def __init__(self, thread: QueueThread) -> None:
        super().__init__(thread, "shop")

    def subscribe(self, function_id: str, **queue_config: Any) -> None:
        config = {"topic": "orders", "queue_config": {**DIES_AT_ONCE, **queue_config}}
        count = figures()["consumer_count"]
        self.thread.do(
            lambda: self.worker.trigger(function_id, "queue", function_id, config=config)
        )
        wait_until(lambda: figures()["consumer_count"] == count + 1, "it has subscribed")


def enqueue(data: Any, **rest: Any) -> None:
    """Put a message into the topic."""
    call("enqueue", {"topic": "orders", "data": data, "with_receipt": True, **rest}, dict[str, Any])


def figures() -> dict[str, Any]:
    """Return the figures of the topic."""
    return call("engine::queue::stats", {"queue": "orders", "kind": "topic"}, dict[str, Any])
