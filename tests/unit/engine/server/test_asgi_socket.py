"""The socket over receive and send alone, against a server that plays its part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from engine.core.listeners import Message
from engine.server.outbox import DEFAULT_LIMITS, OutboxLimits
from engine.server.socket import AsgiSocket

LIMIT_S = 10


class FakeServer:
    """Gives out events when asked, and takes sent ones while it may."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.receives = 0
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.is_lost = False
        self.is_aborted = False
        self.events.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Message:
        self.receives += 1
        return await self.events.get()

    async def send(self, message: Message) -> None:
        await self.may_send.wait()
        if self.is_lost:
            raise OSError("lost")
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.disconnect(1000)

    def abort(self) -> None:
        self.is_aborted = True
        self.disconnect(1006)

    def text(self, text: str) -> None:
        self.events.put_nowait({"type": "websocket.receive", "text": text})

    def disconnect(self, code: int | None) -> None:
        self.events.put_nowait({"type": "websocket.disconnect", "code": code})


class Collector:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.binaries: list[bytes] = []

    def on_text(self, payload: bytes) -> None:
        if payload == b"raise":
            raise RuntimeError("asked for")
        self.texts.append(payload)

    def on_binary(self, payload: bytes) -> None:
        self.binaries.append(payload)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def receiver() -> Collector:
    return Collector()


def open_on(server: FakeServer, limits: OutboxLimits = DEFAULT_LIMITS) -> AsgiSocket:
    return AsgiSocket(server.receive, server.send, limits=limits, abort=server.abort)


async def test_accepts_with_the_protocol_after_the_connect(server: FakeServer) -> None:
    await open_on(server).accept("a")

    assert server.receives == 1
    assert server.sent == [{"type": "websocket.accept", "subprotocol": "a"}]


async def test_serves_nothing_when_the_peer_left_first(
    server: FakeServer, receiver: Collector
) -> None:
    server.events.get_nowait()
    server.disconnect(1006)
    socket = open_on(server)

    await socket.accept()

    assert server.sent == []
    assert await socket.serve(receiver) == 1006
    assert not socket.is_open


async def test_hands_messages_over_as_bytes(server: FakeServer, receiver: Collector) -> None:
    socket = open_on(server)
    await socket.accept()
    server.text("é")
    server.events.put_nowait({"type": "websocket.receive", "text": None, "bytes": b"\xff"})
    server.disconnect(4000)

    assert await socket.serve(receiver) == 4000
    assert (receiver.texts, receiver.binaries) == (["é".encode()], [b"\xff"])


async def test_a_disconnect_without_a_code_is_1005(server: FakeServer, receiver: Collector) -> None:
    socket = open_on(server)
    await socket.accept()
    server.disconnect(None)

    assert await socket.serve(receiver) == 1005


async def test_sends_frames_as_text_and_then_the_close(
    server: FakeServer, receiver: Collector
) -> None:
    socket = open_on(server)
    await socket.accept()
    assert socket.offer("é".encode())
    socket.push(b"two")
    socket.close(4001, "bye")
    socket.close(4002)

    assert await socket.serve(receiver) == 4001
    assert server.sent[1:] == [
        {"type": "websocket.send", "text": "é"},
        {"type": "websocket.send", "text": "two"},
        {"type": "websocket.close", "code": 4001, "reason": "bye"},
    ]
    assert (socket.queued_messages, socket.queued_bytes) == (0, 0)


async def test_refuses_codes_that_must_not_be_sent(server: FakeServer) -> None:
    with pytest.raises(ValueError, match="1006"):
        open_on(server).close(1006)


async def test_drops_messages_after_its_own_close(server: FakeServer, receiver: Collector) -> None:
    socket = open_on(server)
    await socket.accept()
    socket.close(4001)
    server.text("late")

    assert await socket.serve(receiver) == 4001
    assert receiver.texts == []


async def test_closes_with_1011_when_the_receiver_raises(
    server: FakeServer, receiver: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    socket = open_on(server)
    await socket.accept()
    server.text("raise")

    assert await socket.serve(receiver) == 1011
    assert server.sent[-1]["code"] == 1011
    assert "a message could not be handled" in caplog.text


async def test_does_not_receive_while_its_queue_is_full(
    server: FakeServer, receiver: Collector
) -> None:
    socket = open_on(server, OutboxLimits(messages=4, size=1000))
    await socket.accept()
    serving = asyncio.create_task(socket.serve(receiver))
    await until(lambda: server.receives == 2)
    server.may_send.clear()
    offers = [socket.offer(b"x") for _ in range(5)]
    for text in ("one", "two"):
        server.text(text)
    await until(lambda: receiver.texts)
    await asyncio.sleep(0)

    assert offers == [True] * 4 + [False]
    assert (receiver.texts, server.receives) == ([b"one"], 2)
    server.may_send.set()
    await until(lambda: receiver.texts == [b"one", b"two"])
    server.disconnect(1000)
    assert await serving == 1000


async def test_gives_a_stalled_peer_up(server: FakeServer, receiver: Collector) -> None:
    socket = open_on(server, OutboxLimits(stall_s=0.01))
    await socket.accept()
    serving = asyncio.create_task(socket.serve(receiver))
    server.may_send.clear()
    socket.push(b"x")

    assert await serving == 1011
    assert server.is_aborted
    assert not socket.is_open


async def test_hears_from_the_server_when_sending_fails(
    server: FakeServer, receiver: Collector
) -> None:
    socket = open_on(server)
    await socket.accept()
    server.is_lost = True
    serving = asyncio.create_task(socket.serve(receiver))
    socket.push(b"x")
    await until(lambda: not socket.is_open)
    server.disconnect(1006)

    assert await serving == 1006
