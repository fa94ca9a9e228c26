"""Sockets at the ends of a channel: messages of both kinds, with back-pressure either way."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.listeners import Receive, Scope, Send
from engine.server.outbox import OutboxLimits
from engine.server.socket import Socket, open_socket
from tests.integration.engine.server.applications import eventually
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import BINARY, TEXT, Frame

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMITS = OutboxLimits(messages=64, size=256 * 1024)
MESSAGE = bytes(64 * 1024)


class Application:
    """Keeps what comes, and tells when there is room."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.received: list[tuple[str, bytes]] = []
        self.rooms = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = open_socket(scope, receive, send)
        socket.limit(LIMITS, self._on_room)
        await socket.accept()
        self.sockets.append(socket)
        await socket.serve(self)

    def on_text(self, payload: bytes) -> None:
        self.received.append(("text", payload))

    def on_binary(self, payload: bytes) -> None:
        self.received.append(("binary", payload))

    async def socket(self) -> Socket:
        await eventually(lambda: self.sockets, "the socket is served")
        return self.sockets[0]

    def _on_room(self) -> None:
        self.rooms += 1


async def test_messages_of_both_kinds_arrive_in_order(serve: Serve, name: str) -> None:
    application = Application()
    peer = await (await serve(application, name)).connect()
    socket = await application.socket()
    messages = [(True, b"text"), (False, b"\x00\xff"), (True, b""), (False, b""), (False, MESSAGE)]

    for is_text, payload in messages:
        socket.write(is_text, payload)

    for is_text, payload in messages:
        assert await peer.read_frame() == Frame(TEXT if is_text else BINARY, payload)


@pytest.mark.parametrize("name", ["picows", "uvicorn"])  # daphne takes everything at once
async def test_a_full_queue_says_so_and_tells_when_it_has_room(serve: Serve, name: str) -> None:
    application = Application()
    peer = await (await serve(application, name)).connect(receive_buffer=32 * 1024)
    socket = await application.socket()
    sent = 0
    async with asyncio.timeout(10):
        while socket.write(False, MESSAGE):
            sent += 1
            await asyncio.sleep(0)
    rooms = application.rooms

    for _ in range(sent + 1):
        assert (await peer.read_frame()).payload == MESSAGE

    await eventually(lambda: application.rooms > rooms, "there is room")
    assert socket.write(False, b"more")


async def test_what_is_queued_leaves_before_the_close(serve: Serve, name: str) -> None:
    application = Application()
    peer = await (await serve(application, name)).connect()
    socket = await application.socket()

    socket.write(False, MESSAGE)
    socket.close(1000)
    assert socket.write(False, b"too late")

    assert (await peer.read_frame()).payload == MESSAGE
    assert await peer.read_close() == 1000


async def test_a_paused_socket_reads_on_when_it_is_resumed(serve: Serve, name: str) -> None:
    application = Application()
    peer = await (await serve(application, name)).connect()
    socket = await application.socket()
    socket.pause()
    count = 400  # more than the network keeps
    for _ in range(count):
        peer.send(MESSAGE, BINARY)
    if name != "daphne":  # which reads all the same
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await peer.writer.drain()
        assert len(application.received) < count

    socket.resume()

    await eventually(lambda: len(application.received) == count, "everything has come")


async def test_a_paused_socket_can_be_closed(serve: Serve, name: str) -> None:
    application = Application()
    peer = await (await serve(application, name)).connect()
    socket = await application.socket()
    socket.pause()
    peer.send(b"unread")

    socket.close(1001)

    assert await peer.read_close() == 1001
