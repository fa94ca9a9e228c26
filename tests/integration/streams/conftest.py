"""An engine with streams on every kind of store, a worker that calls them, and clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from engine.core.engine import Engine
from engine.core.modules import AdapterChoice
from streams.adapters import StreamKvOptions, StreamKvStore
from streams.desk import Desk
from streams.module import StreamModule
from tests.store_engine import LIMIT_S, Setting, StoreWorker, running_setting

SCOPE: dict[str, Any] = {
    "path": "/",
    "query_string": b"a=1&a=%32&b=",
    "headers": [(b"X-One", b"1"), (b"authorization", b"Bearer x")],
    "client": ("10.0.0.5", 51234),
}


class Client:
    """A client of streams past its handshake; `is_slow` makes its socket take nothing more."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_slow = False
        self._session: Any = None

    async def connect(self, engine: Engine, scope: dict[str, Any]) -> Client:
        self._session = await engine.service(Desk).connect(self, scope)
        return self

    # --- as a socket --------------------------------------------------------------------------

    def offer(self, frame: bytes) -> bool:
        if not self.is_slow:
            self.frames.append(frame)
        return not self.is_slow

    def write(self, is_text: bool, payload: bytes) -> bool:
        self.frames.append(payload)
        return not self.is_slow

    def read_again(self) -> None:
        """Let the socket have room again."""
        self.is_slow = False
        self._session.on_room()

    # --- as a client --------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        self._session.on_text(payload)

    def send_binary(self, payload: bytes) -> None:
        self._session.on_binary(payload)

    def join(self, subscription_id: str = "s", group: str = "g", **more: Any) -> None:
        self._say("join", subscription_id, group, more)

    def leave(self, subscription_id: str = "s", group: str = "g", **more: Any) -> None:
        self._say("leave", subscription_id, group, more)

    def _say(self, kind: str, subscription_id: str, group: str, more: dict[str, Any]) -> None:
        place = {"subscriptionId": subscription_id, "streamName": "chat", "groupId": group}
        self.send(json.dumps({"type": kind, "data": {**place, **more}}).encode())

    def close(self) -> None:
        self._session.close()

    def take(self) -> list[dict[str, Any]]:
        """Return and forget the envelopes that have come."""
        frames, self.frames = self.frames, []
        return [json.loads(frame) for frame in frames]

    async def envelopes(self, count: int) -> list[dict[str, Any]]:
        """Return the next envelopes."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(LIMIT_S):
            while len(found) < count:
                found += self.take()
                await asyncio.sleep(0.001)
        assert len(found) == count, found
        return found

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the events of the next envelopes."""
        return [envelope["event"] for envelope in await self.envelopes(count)]


@pytest.fixture
def stream_options() -> dict[str, Any]:
    """More options of the stream module; tests replace it."""
    return {}


@pytest_asyncio.fixture
async def setting(place: tuple[str, str], stream_options: dict[str, Any]) -> AsyncIterator[Setting]:
    """An engine with streams on one kind of store."""
    options = StreamKvOptions(store_method="in_memory" if place[0] == "memory" else "file_based")
    adapter = AdapterChoice(StreamKvStore, options)
    module = (StreamModule, {"adapter": adapter, **stream_options})
    async with running_setting(place, module) as setting:
        yield setting


@pytest.fixture
def worker(setting: Setting) -> StoreWorker:
    """A worker of the engine."""
    return setting.worker


@pytest.fixture
def client(setting: Setting) -> Callable[..., Awaitable[Client]]:
    """Connect clients."""

    def connect(**scope: Any) -> Awaitable[Client]:
        return Client().connect(setting.engine, {**SCOPE, **scope})

    return connect
