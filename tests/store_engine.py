"""An engine on one kind of store, and a worker of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from engine.core.engine import Engine
from engine.core.modules import Module
from engine.core.tasks import TaskSender
from engine.modules.worker.module import WorkerModule
from kv.stores.database import Database
from tests.fakes import FakeWorker, make_engine
from tests.queue_engine import LoopTasks

LIMIT_S = 10.0


class StoreWorker(FakeWorker):
    """A worker that waits for the answers of its calls and keeps what it is asked to handle."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.handled: list[dict[str, Any]] = []

    async def answer(self, function_id: str, data: Any) -> dict[str, Any]:
        """Call a function; return the members of the answer that say what came of it."""
        call_id = self.invoke(function_id, data)
        async with asyncio.timeout(LIMIT_S):
            while True:
                frames = self.take()
                answers = [each for each in frames if each.get("invocation_id") == call_id]
                self.handled += [each for each in frames if each not in answers]
                for frame in answers:
                    return {name: frame[name] for name in ("result", "error") if name in frame}
                await asyncio.sleep(0.001)

    async def result(self, function_id: str, data: Any) -> Any:  # type: ignore[override]
        """Call a function that succeeds; return its result, None if it has none."""
        answer = await self.answer(function_id, data)
        assert "error" not in answer, answer
        return answer.get("result")

    async def code(self, function_id: str, data: Any) -> tuple[str, str]:
        """Call a function that fails; return code and message of its error."""
        error = (await self.answer(function_id, data))["error"]
        return error["code"], error["message"]

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next invocations of handlers."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.handled) < count:
                self.handled += self.take()
                await asyncio.sleep(0.001)
        events, self.handled = self.handled[:count], self.handled[count:]
        return events

    def reply(self, invocation: dict[str, Any], result: Any) -> None:
        """Answer an invocation."""
        FakeWorker.result(self, invocation, result)


class Setting:
    """A running engine and a worker of it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.worker = StoreWorker(engine)


@asynccontextmanager
async def running_setting(
    place: tuple[str, str], *modules: tuple[type[Module], dict[str, Any]]
) -> AsyncIterator[Setting]:
    """Run an engine.

    Args:
        place: the kind of its stores and the alias of their database, as of the fixture.
        modules: beside the worker module, with their options.
    """
    kind, alias = place
    engine = make_engine((WorkerModule, {}), *modules)
    engine.provide(LoopTasks(engine), TaskSender)
    database = None
    if kind != "memory":
        database = Database.open(is_sqlite=kind == "sqlite", description=kind, alias=alias)
        database.start()
        engine.provide(database)
    await engine.start()
    yield Setting(engine)
    await engine.stop(grace_s=0)
    if database is not None:
        await database.stop()
