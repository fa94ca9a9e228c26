"""Servers from start to end: HTTP requests, stopping with connections of every kind, restarts."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.listeners import Receive, Scope, Send
from engine.server import asgi_bridge, picows_connection, picows_server, uvicorn_server
from engine.server.base import create_server
from tests.integration.engine.server.applications import (
    SocketApplication,
    answer_http,
    eventually,
)
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import Peer

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"


class TestHttp:
    async def test_requests_are_answered_one_after_the_other(self, serve: Serve, name: str) -> None:
        application = SocketApplication()
        running = await serve(application, name)
        peer = await running.dial(running.http_port)

        for request in (GET, POST, GET):
            peer.write(request)
            answer = await peer.read_answer()
            assert (answer.status, answer.body) == (200, b"hello")

        scope = application.scopes[0]
        assert scope["type"] == "http"
        assert scope["path"] == "/a b"
        assert scope["query_string"] == b"x=1"
        assert tuple(scope["server"]) == ("127.0.0.1", running.http_port)

    async def test_answers_carry_no_headers_of_the_server(self, serve: Serve) -> None:
        running = await serve(SocketApplication())
        peer = await running.dial(running.http_port)

        peer.write(GET)

        assert (await peer.read_answer()).headers == {
            "content-type": "text/plain",
            "content-length": "5",
        }

    async def test_forwarded_headers_do_not_change_the_client(
        self, serve: Serve, name: str
    ) -> None:
        application = SocketApplication()
        running = await serve(application, name)
        peer = await running.dial(running.http_port)

        peer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        await peer.read_answer()

        assert application.scopes[0]["client"][0] == "127.0.0.1"


class TestStopping:
    async def test_closes_websockets_with_the_code(self, serve: Serve, name: str) -> None:
        application = SocketApplication()
        running = await serve(application, name)
        peers = [await running.connect() for _ in range(3)]
        for index in range(3):
            await application.session(index)

        closing = asyncio.create_task(running.server.close())

        for peer in peers:
            assert await peer.read_close() == 1012
            peer.close(1012)
            await peer.read_end()
        await closing
        assert [await session.ended() for session in application.sessions] == [1012] * 3

    async def test_takes_another_code(self, serve: Serve, name: str) -> None:
        application = SocketApplication()
        running = await serve(application, name)
        peer = await running.connect()
        await application.session()

        closing = asyncio.create_task(running.server.close(4001))

        assert await peer.read_close() == 4001
        peer.close(4001)
        await closing

    async def test_accepting_keeps_connections(self, serve: Serve, name: str) -> None:
        running = await serve(SocketApplication(), name)
        peer = await running.connect()

        await running.server.stop_accepting()
        await running.server.stop_accepting()

        for port in (running.port, running.http_port):
            with pytest.raises(ConnectionRefusedError):
                await Peer.dial(port)
        peer.send(b"still here")
        assert await peer.read_text() == b"still here"

    async def test_does_not_wait_for_kept_connections(self, serve: Serve, name: str) -> None:
        running = await serve(SocketApplication(), name)
        peer = await running.dial(running.http_port)
        silent = await running.dial(running.http_port)
        peer.write(GET)
        await peer.read_answer()

        await running.server.close()

        await peer.read_end()
        await silent.read_end()

    async def test_lets_a_request_in_progress_finish(self, serve: Serve, name: str) -> None:
        started, may_answer = asyncio.Event(), asyncio.Event()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            await may_answer.wait()
            await answer_http(receive, send)

        running = await serve(application, name)
        peer = await running.dial(running.http_port)
        peer.write(GET)
        await started.wait()

        closing = asyncio.create_task(running.server.close())
        await asyncio.sleep(0)
        may_answer.set()

        assert (await peer.read_answer()).body == b"hello"
        await closing
        await peer.read_end()

    async def test_drops_peers_in_their_handshake(self, serve: Serve) -> None:
        running = await serve(SocketApplication())
        peer = await running.dial()
        peer.write(b"GET / HT")

        await running.server.close()

        await peer.read_end()

    @pytest.mark.parametrize("name", ["picows", "uvicorn"])
    async def test_cuts_peers_that_do_not_answer(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(picows_connection, "CLOSE_TIMEOUT_S", 0.05)
        monkeypatch.setattr(uvicorn_server, "CLOSE_TIMEOUT_S", 0.05)
        application = SocketApplication()
        running = await serve(application, name)
        peer = await running.connect()
        await application.session()

        await running.server.close()

        assert await peer.read_close() == 1012
        await peer.read_end()

    async def test_cancels_applications_that_do_not_end(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(picows_server, "APPLICATION_TIMEOUT_S", 0.05)
        monkeypatch.setattr(uvicorn_server, "GRACE_S", 0.05)
        cancelled: list[str] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(scope["type"])
                raise

        running = await serve(application)
        await running.connect()
        request = await running.dial(running.http_port)
        request.write(GET)
        server = running.server
        await eventually(lambda: server._http._state.tasks, "started")  # type: ignore[attr-defined]

        for peer in running.peers[:1]:
            peer.abort()
        await server.close()

        assert sorted(cancelled) == ["http", "websocket"]

    async def test_may_come_before_the_start_and_twice(self, name: str) -> None:
        server = create_server(name, SocketApplication())

        await server.close()
        await server.close()

    async def test_frees_the_ports_for_the_next_start(self, serve: Serve, name: str) -> None:
        first = await serve(SocketApplication(), name)
        peer = await first.connect()
        peer.close(1000)
        await peer.read_until_close()
        await first.server.close()

        with pytest.raises(ConnectionRefusedError):
            await Peer.dial(first.port)


async def test_the_bridge_answers_what_is_out_of_place(serve: Serve) -> None:
    errors: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for event in (
            {"type": "websocket.send", "text": "too early"},
            {"type": "websocket.accept"},
            {"type": "websocket.accept"},
            {"type": "websocket.http.response.body", "body": b""},
            {"type": "nonsense"},
        ):
            try:
                await send(event)
            except RuntimeError as error:
                errors.append(str(error))
        await send({"type": "websocket.send", "text": "fine"})
        await send({"type": "websocket.close", "code": 4000})
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except ConnectionResetError as error:
            errors.append(str(error))

    peer = await (await serve(application)).connect()

    assert await peer.read_text() == b"fine"
    assert await peer.read_close() == 4000
    assert errors == [
        "websocket.send is out of place",
        "the WebSocket has been accepted or refused already",
        "websocket.http.response.body is out of place",
        "nonsense is out of place",
        "the WebSocket is closed",
    ]
    assert asgi_bridge.NORMAL_CLOSURE == 1000
