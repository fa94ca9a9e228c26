"""An engine with a module in a thread of its own, on the database of the tests, and its worker."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from engine.core.engine import Engine
from engine.core.modules import Module
from engine.core.tasks import TaskSender
from engine.modules.worker.module import WorkerModule
from kv.stores.database import Database
from tests.fakes import FakeWorker, make_engine
from tests.integration.console.conftest import EngineThread
from tests.queue_engine import LoopTasks
from tests.waiting import wait_until


class ModuleThread(EngineThread):
    """Its tasks are executed by its own loop."""

    def __init__(self) -> None:
        self._database = Database.open(is_sqlite=True, description="the database of the tests")
        super().__init__()

    @property
    @abstractmethod
    def module(self) -> tuple[type[Module], dict[str, Any]]:
        """The module, and its options."""

    def _build(self) -> Engine:
        engine = make_engine((WorkerModule, {"port": 49134}), self.module)
        engine.provide(self._database)
        engine.provide(LoopTasks(engine), TaskSender)
        return engine

    async def _start(self) -> None:
        self._database.start()
        await self.engine.start()

    async def _stop(self) -> None:
        await self.engine.stop(0)
        await self._database.stop()


class ThreadWorker:
    """A worker of such an engine; its functions are there when it says so."""

    def __init__(self, thread: EngineThread, name: str) -> None:
        self.thread = thread
        self.worker: FakeWorker = thread.connect(name)
        self._waiting: list[dict[str, Any]] = []

    def offer(self, function_id: str) -> None:
        self.thread.do(lambda: self.worker.function(function_id))

    def next_call(self) -> dict[str, Any]:
        """Wait for a call, and answer it."""

        def take() -> bool:
            frames = self.thread.do(self.worker.take)
            self._waiting += [each for each in frames if each["type"] == "invokefunction"]
            return bool(self._waiting)

        wait_until(take, "a call comes")
        frame = self._waiting.pop(0)
        self.thread.do(lambda: self.worker.result(frame, None))
        return frame

    def leave(self) -> None:
        self.thread.do(self.worker.leave)
