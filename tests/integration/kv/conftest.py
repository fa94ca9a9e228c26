"""An engine with state and KV server on every kind of store, and a worker that calls them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from engine.core.engine import Engine
from engine.core.modules import AdapterChoice
from engine.modules.worker.module import WorkerModule
from kv.adapters import KvStoreOptions, StateKvStore
from kv.server import KvServer
from kv.state import StateModule
from kv.stores.database import Database
from tests.fakes import FakeWorker, make_engine

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
                for frame in self.take():
                    if frame.get("invocation_id") == call_id:
                        return {name: frame[name] for name in ("result", "error") if name in frame}
                    self.handled.append(frame)
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


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of the stores, and the alias of their database; empty for memory."""
    kind = str(request.param)
    return kind, "" if kind == "memory" else request.getfixturevalue(f"{kind}_alias")


@pytest.fixture
def state_options() -> dict[str, Any]:
    """More options of the state module; tests replace it."""
    return {}


@pytest_asyncio.fixture
async def setting(place: tuple[str, str], state_options: dict[str, Any]) -> AsyncIterator[Setting]:
    """An engine with both modules on one kind of store."""
    kind, alias = place
    options = KvStoreOptions(store_method="in_memory" if kind == "memory" else "file_based")
    engine = make_engine(
        (WorkerModule, {}),
        (StateModule, {"adapter": AdapterChoice(StateKvStore, options), **state_options}),
        (KvServer, {"store_method": options.store_method}),
    )
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


@pytest.fixture
def worker(setting: Setting) -> StoreWorker:
    """A worker of the engine."""
    return setting.worker
