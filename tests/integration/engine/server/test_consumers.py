"""Ordinary Channels consumers run unchanged on every server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.generic.websocket import WebsocketConsumer as SyncConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from tests.integration.engine.server.applications import eventually
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import BINARY, Frame

pytestmark = pytest.mark.asyncio(loop_scope="session")

CODES: list[int] = []


class Echo(AsyncWebsocketConsumer):
    """Echoes text and binary messages; its sub-protocol is the first that was offered."""

    async def connect(self) -> None:
        offered = list(self.scope["subprotocols"])
        await self.accept(offered[0] if offered else None)
        await self.send(text_data=self.scope["url_route"]["kwargs"]["greeting"])

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "leave":
            await self.close(code=4000, reason="asked to")
        elif text_data is not None:
            await self.send(text_data=text_data)
        else:
            await self.send(bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        CODES.append(code)


class Refusing(AsyncWebsocketConsumer):
    """Refuses everybody."""

    async def connect(self) -> None:
        await self.close(code=4403)


class Json(AsyncJsonWebsocketConsumer):
    """Doubles a number."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"doubled": content["number"] * 2})


class Sync(SyncConsumer):
    """Runs in threads."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=(text_data or "").upper())


ROUTES: dict[str, Any] = {
    "echo/<str:greeting>": Echo.as_asgi(),
    "refusing": Refusing.as_asgi(),
    "json": Json.as_asgi(),
    "sync": Sync.as_asgi(),
}
URLS: list[Any] = [path(route, consumer) for route, consumer in ROUTES.items()]

application: Any = ProtocolTypeRouter({"websocket": URLRouter(URLS)})


async def test_text_and_binary_messages(serve: Serve, name: str) -> None:
    peer = await (await serve(application, name)).connect("/echo/hello")

    assert await peer.read_text() == b"hello"
    peer.send("grüße".encode())
    assert await peer.read_text() == "grüße".encode()
    peer.send(b"\x00\xff", BINARY)
    assert await peer.read_frame() == Frame(BINARY, b"\x00\xff")


async def test_closing_from_their_side(serve: Serve, name: str) -> None:
    peer = await (await serve(application, name)).connect("/echo/hello")
    await peer.read_text()

    peer.send(b"leave")

    assert await peer.read_close() == 4000
    peer.close(4000)
    await peer.read_end()


async def test_hearing_of_the_disconnect(serve: Serve, name: str) -> None:
    CODES.clear()
    peer = await (await serve(application, name)).connect("/echo/hello")
    await peer.read_text()

    peer.close(3001)

    await eventually(lambda: CODES == [3001], "disconnect was called with the code")


async def test_refusing(serve: Serve, name: str) -> None:
    """The generic consumers decide in a task of their own: on picows that is after the answer."""
    peer = await (await serve(application, name)).dial()

    answer = await peer.upgrade("/refusing")

    if name == "picows":
        assert answer.status == 101
        assert await peer.read_close() == 4403
    else:
        assert answer.status == 403


async def test_json(serve: Serve, name: str) -> None:
    peer = await (await serve(application, name)).connect("/json")

    peer.send(json.dumps({"number": 21}).encode())

    assert json.loads(await peer.read_text()) == {"doubled": 42}


async def test_in_threads(serve: Serve, name: str) -> None:
    peer = await (await serve(application, name)).connect("/sync")

    peer.send(b"loud")

    assert await peer.read_text() == b"LOUD"
