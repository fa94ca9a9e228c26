"""An engine with queues in a thread of its own, and a worker that subscribes to a topic of it."""

from __future__ import annotations

from typing import Any, Final

from console.engine_calls import call
from engine.core.engine import Engine
from engine.core.modules import AdapterChoice
from engine.core.tasks import TaskSender
from engine.modules.queue.config import BuiltinQueueAdapter, BuiltinQueueOptions
from engine.modules.queue.module import QueueModule
from engine.modules.worker.module import WorkerModule
from kv.stores.database import Database
from tests.acceptance.waiting import wait_until
from tests.fakes import FakeWorker, make_engine
from tests.integration.console.conftest import EngineThread
from tests.queue_engine import LoopTasks

DIES_AT_ONCE: Final = {"maxRetries": 0}


class QueueThread(EngineThread):
    """An engine with the queue module, on the database of the tests or in memory."""

    def __init__(self, store_method: str = "file_based") -> None:
        self._options = BuiltinQueueOptions.model_validate({"store_method": store_method})
        self._database = Database.open(is_sqlite=True, description="the database of the tests")
        super().__init__()

    def _build(self) -> Engine:
        choice = AdapterChoice(BuiltinQueueAdapter, self._options)
        engine = make_engine(
            (WorkerModule, {"port": 49134}),
            (QueueModule, {"adapter": choice, "queue_configs": {"payment": {"concurrency": 2}}}),
        )
        engine.provide(self._database)
        engine.provide(LoopTasks(engine), TaskSender)
        return engine

    async def _start(self) -> None:
        self._database.start()
        await self.engine.start()

    async def _stop(self) -> None:
        await self.engine.stop(0)
        await self._database.stop()


class Shop:
    """A worker that subscribes to the topic `orders`; its functions are there when it says so."""

    def __init__(self, thread: EngineThread) -> None:
        self._thread = thread
        self._worker: FakeWorker = thread.connect("shop")
        self._waiting: list[dict[str, Any]] = []

    def subscribe(self, function_id: str, **queue_config: Any) -> None:
        config = {"topic": "orders", "queue_config": {**DIES_AT_ONCE, **queue_config}}
        count = figures()["consumer_count"]
        self._thread.do(
            lambda: self._worker.trigger(function_id, "queue", function_id, config=config)
        )
        wait_until(lambda: figures()["consumer_count"] == count + 1, "it has subscribed")

    def offer(self, function_id: str) -> None:
        self._thread.do(lambda: self._worker.function(function_id))

    def next_call(self) -> dict[str, Any]:
        """Wait for a message, and handle it."""

        def take() -> bool:
            frames = self._thread.do(self._worker.take)
            self._waiting += [each for each in frames if each["type"] == "invokefunction"]
            return bool(self._waiting)

        wait_until(take, "a message comes")
        frame = self._waiting.pop(0)
        self._thread.do(lambda: self._worker.result(frame, None))
        return frame

    def leave(self) -> None:
        self._thread.do(self._worker.leave)


def enqueue(data: Any, **rest: Any) -> None:
    """Put a message into the topic."""
    call("enqueue", {"topic": "orders", "data": data, "with_receipt": True, **rest}, dict[str, Any])


def figures() -> dict[str, Any]:
    """Return the figures of the topic."""
    return call("engine::queue::stats", {"queue": "orders", "kind": "topic"}, dict[str, Any])
