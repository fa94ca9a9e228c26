"""Slow peers: bounded queues, refused invocations, paused reading, and the cut after a stall."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, cast

import pytest

from engine.core.gathering import GATHERING
from engine.core.listeners import Receive, Scope, Send
from engine.server import picows_connection
from engine.server.direct_socket import DirectSocket
from engine.server.grown_buffers import GrownBuffers
from engine.server.outbox import OutboxLimits
from engine.server.picows_connection import Connection
from engine.server.picows_server import PicowsServer
from engine.server.socket import open_socket
from tests.integration.engine.server.applications import (
    Session,
    SocketApplication,
    eventually,
)
from tests.integration.engine.server.conftest import Running, Serve
from tests.integration.engine.server.wire import (
    CLOSE,
    CONTINUATION,
    LIMIT_S,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    close_payload,
    frame,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIB = 1024
MIB = 1024 * KIB

SMALL = OutboxLimits(messages=50, size=256 * KIB)


async def ready_peer(serve: Serve) -> tuple[Peer, Session]:
    """Return a peer that reads, and its session."""
    application = SocketApplication()
    peer = await (await serve(application)).connect()
    return peer, await application.session()


async def slow_peer(serve: Serve, limits: OutboxLimits) -> tuple[Peer, Session]:
    """Return a peer that does not read, and its session, whose socket cannot write any more."""
    application = SocketApplication(echo=True)
    running = await serve(application, limits=limits)
    peer = await running.connect(receive_buffer=4 * KIB)
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    session = await application.session()
    # One message that the kernel cannot take; it may be larger than the limit since it is alone.
    assert session.socket.offer(b"f" * (12 * MIB))
    await eventually(lambda: blocked(session), "the kernel takes no more")
    return peer, session


def blocked(session: Session) -> bool:
    return cast("DirectSocket", session.socket)._is_blocked


def reads(session: Session) -> bool:
    """Whether the server reads from the session's peer."""
    transport: Any = cast("DirectSocket", session.socket)._transport
    return bool(transport.is_reading())


class TestQueue:
    async def test_refuses_invocations_beyond_its_messages(self, serve: Serve) -> None:
        limits = OutboxLimits(messages=10, size=64 * MIB)
        peer, session = await slow_peer(serve, limits)

        offers = [session.socket.offer(b"x") for _ in range(20)]

        assert offers == [True] * 9 + [False] * 11
        assert session.socket.queued_messages == 10
        peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await peer.read_text()) == 12 * MIB
        assert [await peer.read_text() for _ in range(9)] == [b"x"] * 9
        await eventually(lambda: session.socket.queued_messages == 0, "drained")
        assert session.socket.queued_bytes == 0
        assert session.socket.offer(b"again")
        assert await peer.read_text() == b"again"

    async def test_refuses_invocations_beyond_its_bytes(self, serve: Serve) -> None:
        limits = OutboxLimits(messages=1000, size=16 * MIB)
        _, session = await slow_peer(serve, limits)

        offers = [session.socket.offer(b"x" * MIB) for _ in range(6)]

        assert offers == [True] * 4 + [False] * 2
        assert session.socket.queued_bytes == 16 * MIB

    async def test_takes_a_result_beyond_it_and_then_gives_up(self, serve: Serve) -> None:
        limits = OutboxLimits(messages=10, size=64 * MIB)
        _, session = await slow_peer(serve, limits)

        for _ in range(19):
            session.socket.push(b"x")
        assert session.code is None
        assert session.socket.queued_messages == 20
        session.socket.push(b"one too many")

        assert not session.socket.is_open
        assert session.socket.queued_bytes == 0
        assert await session.ended() == 1011

    async def test_takes_any_result_while_it_is_not_full(self, serve: Serve) -> None:
        limits = OutboxLimits(messages=10, size=16 * MIB)
        peer, session = await slow_peer(serve, limits)

        session.socket.push(b"r" * (40 * MIB))

        assert session.socket.is_open
        peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await peer.read_text()) == 12 * MIB
        assert len(await peer.read_text()) == 40 * MIB

    async def test_is_not_full_because_of_a_burst_alone(self, serve: Serve) -> None:
        """More than the limit within one tick goes out when the peer takes it."""
        application = SocketApplication()
        running = await serve(application, limits=SMALL)
        peer = await running.connect()
        session = await application.session()

        texts = [str(index).encode() for index in range(500)]
        offers = [session.socket.offer(text) for text in texts]

        assert all(offers)
        assert [await peer.read_text() for _ in texts] == texts


class TestReading:
    async def test_pauses_while_the_peer_does_not_take_its_answers(self, serve: Serve) -> None:
        application = SocketApplication()
        limits = OutboxLimits(messages=2000, size=1 * MIB)
        running = await serve(application, limits=limits)
        peer = await running.connect(receive_buffer=4 * KIB)
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        session = await application.session()
        sent = 0
        async with asyncio.timeout(LIMIT_S):
            while reads(session):
                peer.send(str(sent).encode().rjust(50 * KIB))
                sent += 1
                await asyncio.sleep(0)

        assert session.socket.queued_bytes < 2 * limits.size
        peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        received = [int(await peer.read_text()) for _ in range(sent)]
        assert received == list(range(sent))
        assert reads(session)

    async def test_pauses_while_nobody_receives(self, serve: Serve) -> None:
        may_serve = asyncio.Event()
        sessions: list[Session] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            socket = scope["extensions"]["iii.socket"]
            await socket.accept()
            sessions.append(Session(socket, echo=False))
            await may_serve.wait()
            await socket.serve(sessions[0])

        peer = await (await serve(application)).connect()
        while reads(sessions[0]):
            peer.send(b"x" * 1000)
            await asyncio.sleep(0)

        may_serve.set()
        peer.send(b"last")

        await eventually(lambda: sessions[0].received[-1:] == [b"last"], "all came")

    async def test_of_others_goes_on(self, serve: Serve) -> None:
        application = SocketApplication()
        running = await serve(application, limits=OutboxLimits(messages=10, size=64 * MIB))
        slow = await running.connect(receive_buffer=4 * KIB)
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        session = await application.session()
        session.socket.push(b"f" * (12 * MIB))
        while session.socket.offer(b"x"):
            pass

        other = await running.connect()
        other.send(b"hello")

        assert await other.read_text() == b"hello"


class TestStall:
    async def test_of_a_whole_limit_closes_with_1011(self, serve: Serve) -> None:
        _, session = await slow_peer(serve, OutboxLimits(stall_s=0.05))

        assert await session.ended() == 1011

    async def test_is_none_while_the_peer_takes_a_little(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Progress within one large message counts, message by message would be too coarse."""
        _, session = await slow_peer(serve, OutboxLimits())
        socket = cast("DirectSocket", session.socket)
        sizes = iter(range(100, 0, -1))
        monkeypatch.setattr(DirectSocket, "_progress", lambda self: next(sizes), raising=True)

        for _ in range(20):
            socket._check_progress()

        assert socket.is_open

    async def test_with_pings_costs_no_memory(self, serve: Serve) -> None:
        peer, session = await slow_peer(serve, OutboxLimits())

        peer.write(*(frame(PING, str(index).encode()) for index in range(20_000)))
        peer.send(b"mark")
        await eventually(lambda: session.received, "the pings came")
        assert len(cast("DirectSocket", session.socket)._pending) <= 1

        peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await peer.read_text()) == 12 * MIB
        assert {await peer.read_frame() for _ in range(2)} == {
            Frame(TEXT, b"mark"),
            Frame(PONG, b"19999"),
        }

    async def test_of_a_closing_peer_ends_soon(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(picows_connection, "CLOSE_TIMEOUT_S", 0.05)
        _, session = await slow_peer(serve, OutboxLimits())

        session.socket.close(4000)

        assert await session.ended() == 4000

    async def test_of_a_peer_that_never_answers_a_close_ends_soon(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(picows_connection, "CLOSE_TIMEOUT_S", 0.05)
        application = SocketApplication()
        peer = await (await serve(application)).connect()
        session = await application.session()

        session.socket.close(4000)

        assert await peer.read_close() == 4000
        await peer.read_end()
        assert await session.ended() == 4000


class TestGathering:
    @pytest.fixture
    def written(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """What each system call wrote."""
        calls: list[bytes] = []
        write = os.write

        def counting(descriptor: int, data: bytes) -> int:
            calls.append(data)
            return write(descriptor, data)

        monkeypatch.setattr("engine.server.direct_socket.os.write", counting)
        return calls

    async def test_writes_all_frames_of_a_tick_in_one_system_call(
        self, serve: Serve, written: list[bytes]
    ) -> None:
        peer, session = await ready_peer(serve)
        written.clear()

        for text in (b"one", b"two" * 100, b"three"):
            assert session.socket.offer(text)
        session.socket.push(b"four")
        assert written == []

        received = [await peer.read_text() for _ in range(4)]
        assert received == [b"one", b"two" * 100, b"three", b"four"]
        expected = b"\x81\x03one\x81\x7e\x01\x2c" + b"two" * 100 + b"\x81\x05three\x81\x04four"
        assert written == [expected]

    async def test_lets_the_peer_begin_before_a_long_tick_ends(
        self, serve: Serve, written: list[bytes]
    ) -> None:
        peer, session = await ready_peer(serve)
        written.clear()

        count = 40
        text = b"x" * 1000
        for _ in range(count):
            assert session.socket.offer(text)
        early = [round(len(data) / len(text)) for data in written]

        assert [await peer.read_text() for _ in range(count)] == [text] * count
        assert early == [7, 25]
        assert [round(len(data) / len(text)) for data in written] == [7, 25, 8]

    async def test_lets_answers_that_belong_together_leave_together(
        self, serve: Serve, written: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        peer, session = await ready_peer(serve)
        written.clear()

        text = b"x" * 1000
        with monkeypatch.context() as patch:
            patch.setattr(GATHERING, "is_on", True)
            for _ in range(20):
                assert session.socket.offer(text)
        assert written == []

        assert [await peer.read_text() for _ in range(20)] == [text] * 20
        assert len(written) == 1

    async def test_writes_the_echoes_of_one_segment_in_one_system_call(
        self, serve: Serve, written: list[bytes]
    ) -> None:
        peer = await (await serve(SocketApplication())).connect()
        written.clear()

        peer.write(frame(TEXT, b"a"), frame(PING, b"p"), frame(TEXT, b"b"))

        assert await peer.read_text() == b"a"
        assert await peer.read_frame() == Frame(PONG, b"p")
        assert await peer.read_text() == b"b"
        assert written == [b"\x81\x01a\x8a\x01p\x81\x01b"]

    async def test_writes_a_greeting_with_the_answer_to_the_handshake(
        self, serve: Serve, written: list[bytes]
    ) -> None:
        class Silent:
            def on_text(self, payload: bytes) -> None: ...

            def on_binary(self, payload: bytes) -> None: ...

        async def greet(scope: Scope, receive: Receive, send: Send) -> None:
            socket = open_socket(scope, receive, send)
            await socket.accept()
            socket.push(b"hello")
            await socket.serve(Silent())

        peer = await (await serve(greet)).connect()

        assert await peer.read_text() == b"hello"
        (everything,) = written
        assert everything.startswith(b"HTTP/1.1 101 ")
        assert everything.endswith(b"\r\n\r\n\x81\x05hello")

    async def test_keeps_the_order_before_a_close_frame_of_the_parser(
        self, serve: Serve, written: list[bytes]
    ) -> None:
        peer = await (await serve(SocketApplication())).connect()

        peer.write(frame(TEXT, b"a"), frame(TEXT, b"b"), frame(7, b"bad"))

        assert [await peer.read_text(), await peer.read_text()] == [b"a", b"b"]
        assert await peer.read_close() == 1002

    async def test_keeps_the_order_of_large_and_small_messages(self, serve: Serve) -> None:
        application = SocketApplication()
        peer = await (await serve(application)).connect()
        session = await application.session()
        sizes = [1, 300_000, 2, 40_000, 40_000, 3, 5_000_000, 4, 70_000, 5]

        for size in sizes * 3:
            session.socket.push(b"x" * size)

        assert [len(await peer.read_text()) for _ in sizes * 3] == sizes * 3
        await eventually(lambda: session.socket.queued_messages == 0, "drained")
        assert session.socket.queued_bytes == 0


class TestReadBuffer:
    @staticmethod
    def room(connection: Connection) -> int:
        return len(connection._parser.get_buffer(0)) if connection._parser else 0

    @staticmethod
    def is_direct(connection: Connection) -> bool:
        return connection._is_direct

    @staticmethod
    def connection(running: Running) -> Connection:
        server = cast("PicowsServer", running.server)
        (connection,) = server._shared.connections
        return connection

    async def test_that_grew_is_given_back_when_it_is_quiet(self, serve: Serve) -> None:
        running = await serve(SocketApplication(echo=False))
        cast("PicowsServer", running.server)._shared.grown = GrownBuffers(0.01)
        peer = await running.connect()
        connection = self.connection(running)

        peer.send(b"x" * (8 * MIB))

        await eventually(lambda: self.room(connection) > 8 * MIB, "grown")
        await eventually(lambda: self.room(connection) < 64 * KIB, "given back")
        for text in (b"small", b"x" * (3 * MIB), b"small again"):
            peer.send(text)
        session = cast("SocketApplication", running.server.application).sessions[0]
        await eventually(lambda: len(session.received) == 4, "all came")
        assert session.received[-1] == b"small again"

    async def test_is_watched_from_a_burst_on_until_it_is_quiet(self, serve: Serve) -> None:
        application = SocketApplication(echo=False)
        running = await serve(application)
        cast("PicowsServer", running.server)._shared.grown = GrownBuffers(0.01)
        peer = await running.connect()
        connection = self.connection(running)
        session = await application.session()
        peer.send(b"alone")
        await eventually(lambda: session.received, "came")
        assert self.is_direct(connection)

        peer.write(frame(TEXT, b"x" * 100) * 100)

        await eventually(lambda: len(session.received) == 101, "all came")
        assert not self.is_direct(connection)
        await eventually(lambda: self.is_direct(connection), "quiet again")
        peer.send(b"afterwards")
        await eventually(lambda: len(session.received) == 102, "came")

    async def test_is_kept_within_a_frame_and_within_a_message(self, serve: Serve) -> None:
        application = SocketApplication(echo=False)
        running = await serve(application)
        peer = await running.connect()
        connection = self.connection(running)
        session = await application.session()
        peer.send(b"x" * MIB)
        await eventually(lambda: session.received, "came")
        grown = self.room(connection)

        second = frame(TEXT, b"one ", fin=False) + frame(CONTINUATION, b"two")
        peer.write(second[:-1])
        await eventually(lambda: self.room(connection) < grown, "half a frame came")
        assert not connection.give_back_buffer()
        peer.write(second[-1:])
        await eventually(lambda: len(session.received) == 2, "came")
        peer.write(frame(TEXT, b"three ", fin=False))
        await eventually(lambda: connection._partial is not None, "a fragment came")
        assert connection.give_back_buffer()
        peer.write(frame(CONTINUATION, b"four"))

        await eventually(lambda: len(session.received) == 3, "came")
        assert session.received[1:] == [b"one two", b"three four"]
        assert self.room(connection) < 64 * KIB

    async def test_does_not_grow_by_many_small_messages(self, serve: Serve) -> None:
        application = SocketApplication(echo=False)
        running = await serve(application)
        peer = await running.connect()
        connection = self.connection(running)
        session = await application.session()

        for _ in range(100):
            peer.write(frame(TEXT, b"x" * 100) * 1000)
            await peer.writer.drain()

        await eventually(lambda: len(session.received) == 100_000, "all came")
        assert self.room(connection) <= 64 * KIB


async def test_sending_through_asgi_waits_for_a_slow_peer(serve: Serve) -> None:
    sent = 0
    connections: list[Callable[[], bool]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await receive()
        await send({"type": "websocket.accept"})
        socket = scope["extensions"]["iii.socket"]
        connections.append(lambda: bool(socket._room))
        for index in range(100):
            await send({"type": "websocket.send", "bytes": b"%d" % index + b"x" * MIB})
            sent += 1
        await receive()

    running = await serve(application, limits=OutboxLimits(messages=5, size=64 * MIB))
    peer = await running.connect(receive_buffer=4 * KIB)
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await eventually(lambda: connections and connections[0](), "it waits for room")
    assert sent < 50

    peer.reader._transport.resume_reading()  # type: ignore[attr-defined]

    for index in range(100):
        assert (await peer.read_frame()).payload.startswith(b"%dx" % index)
    peer.write(frame(CLOSE, close_payload(1000)))
    assert await peer.read_close() == 1000
