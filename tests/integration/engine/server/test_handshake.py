"""From the request head to the first message: scopes, refusals and what is no WebSocket at all."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.listeners import Receive, Scope, Send
from engine.server.socket import AsgiSocket, open_socket
from tests.integration.engine.server.applications import (
    Session,
    SocketApplication,
    eventually,
    script,
)
from tests.integration.engine.server.conftest import Serve
from tests.integration.engine.server.wire import CLOSE, TEXT, frame, upgrade_request

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestScope:
    async def test_says_what_was_asked_for_and_on_which_port(self, serve: Serve, name: str) -> None:
        application = SocketApplication()
        running = await serve(application, name)

        await running.connect(
            "/a%20b/c?key=v%20w&x=1",
            (("Authorization", "Bearer t"), ("X-Two", "é"), ("Sec-WebSocket-Protocol", "a, b")),
        )

        scope = (await eventually(lambda: application.scopes, "started"))[0]
        assert scope["type"] == "websocket"
        assert scope["path"] == "/a b/c"
        assert scope["query_string"] == b"key=v%20w&x=1"
        assert scope["scheme"] == "ws"
        assert scope["http_version"] == "1.1"
        assert tuple(scope["server"]) == ("127.0.0.1", running.port)
        assert scope["client"][0] == "127.0.0.1"
        assert list(scope["subprotocols"]) == ["a", "b"]
        headers = dict(scope["headers"])
        assert headers[b"authorization"] == b"Bearer t"
        assert headers[b"host"] == b"localhost"

    async def test_on_picows_has_raw_values_and_a_socket(self, serve: Serve) -> None:
        application = SocketApplication()
        running = await serve(application)

        await running.connect("/a%20b?x", (("X-Two", "é"),))

        scope = application.scopes[0]
        assert scope["raw_path"] == b"/a%20b"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
        assert dict(scope["headers"])[b"x-two"] == "é".encode("latin-1")
        assert set(scope["extensions"]) == {"websocket.http.response", "iii.socket"}
        assert application.sessions[0].socket is scope["extensions"]["iii.socket"]

    async def test_of_ipv6_says_so(self, serve: Serve, name: str) -> None:
        application = SocketApplication()
        running = await serve(application, name)
        peer = await running.dial(host="::1")

        assert (await peer.upgrade()).status == 101
        scope = (await eventually(lambda: application.scopes, "started"))[0]
        assert tuple(scope["server"]) == ("::1", running.port)
        assert scope["client"][0] == "::1"


class TestAccepting:
    async def test_answers_neither_extension_nor_protocol_unasked(
        self, serve: Serve, name: str
    ) -> None:
        running = await serve(SocketApplication(), name)
        peer = await running.dial()

        answer = await peer.upgrade(
            headers=(
                ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
                ("Sec-WebSocket-Protocol", "a, b"),
            )
        )

        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers
        assert "sec-websocket-protocol" not in answer.headers

    async def test_answers_the_protocol_that_was_chosen(self, serve: Serve, name: str) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            socket = open_socket(scope, receive, send)
            await socket.accept("b")
            await socket.serve(Session(socket, echo=False))

        running = await serve(application, name)
        peer = await running.dial()

        answer = await peer.upgrade(headers=(("Sec-WebSocket-Protocol", "a, b"),))

        assert answer.headers["sec-websocket-protocol"] == "b"

    async def test_adds_the_headers_that_were_given(self, serve: Serve) -> None:
        accept = {"type": "websocket.accept", "headers": [(b"x-node", b"7")]}
        running = await serve(script(accept))
        peer = await running.dial()

        assert (await peer.upgrade()).headers["x-node"] == "7"

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param((("Connection", "keep-alive, Upgrade"),), id="a list of options"),
            pytest.param((("Connection", "upgrade"), ("Upgrade", "WebSocket")), id="other case"),
        ],
    )
    async def test_takes_every_spelling_of_an_upgrade(
        self, serve: Serve, name: str, headers: tuple[tuple[str, str], ...]
    ) -> None:
        running = await serve(SocketApplication(), name)

        peer = await running.connect(headers=headers)
        peer.send(b"hello")

        assert await peer.read_text() == b"hello"

    async def test_keeps_messages_that_came_with_the_request(self, serve: Serve) -> None:
        application = SocketApplication()
        peer = await (await serve(application)).dial()

        peer.write(upgrade_request(), *(frame(TEXT, text) for text in (b"a", b"b", b"c")))

        assert (await peer.read_answer()).status == 101
        assert [await peer.read_text() for _ in range(3)] == [b"a", b"b", b"c"]

    async def test_keeps_messages_until_somebody_serves(self, serve: Serve, name: str) -> None:
        may_serve = asyncio.Event()
        sessions: list[Session] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            socket = open_socket(scope, receive, send)
            await socket.accept()
            await may_serve.wait()
            sessions.append(Session(socket, echo=True))
            await socket.serve(sessions[0])

        peer = await (await serve(application, name)).connect()
        texts = [str(index).encode() for index in range(200)]

        peer.write(*(frame(TEXT, text) for text in texts))
        peer.write(frame(TEXT, b"end"))
        await peer.writer.drain()
        may_serve.set()

        assert [await peer.read_text() for _ in texts] == texts
        assert await peer.read_text() == b"end"

    async def test_sends_the_greeting_behind_the_answer(self, serve: Serve, name: str) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            socket = open_socket(scope, receive, send)
            await socket.accept()
            socket.push(b"welcome")
            await socket.serve(Session(socket, echo=False))

        peer = await (await serve(application, name)).connect()

        assert await peer.read_text() == b"welcome"

    async def test_by_the_bridge_when_the_application_takes_its_time(self, serve: Serve) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            socket = open_socket(scope, receive, send)
            await socket.accept()
            await socket.serve(Session(socket, echo=True))

        peer = await (await serve(application)).connect()

        peer.send(b"early")

        assert await peer.read_text() == b"early"

    async def test_late_with_a_protocol_says_so(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            await send({"type": "websocket.accept", "subprotocol": "a"})
            await receive()

        await (await serve(application)).connect()

        await eventually(lambda: "a sub-protocol was chosen too late" in caplog.text, "said")


class TestRefusing:
    async def test_by_closing_is_403(self, serve: Serve, name: str) -> None:
        peer = await (await serve(script({"type": "websocket.close"}), name)).dial()

        assert (await peer.upgrade()).status == 403
        await peer.read_end()

    @pytest.mark.parametrize("name", ["picows", "uvicorn"])
    async def test_with_a_response_sends_it(self, serve: Serve, name: str) -> None:
        application = script(
            {
                "type": "websocket.http.response.start",
                "status": 404,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"7")],
            },
            {"type": "websocket.http.response.body", "body": b'{"a"', "more_body": True},
            {"type": "websocket.http.response.body", "body": b":1}"},
        )
        peer = await (await serve(application, name)).dial()

        answer = await peer.upgrade()

        assert (answer.status, answer.body) == (404, b'{"a":1}')
        assert answer.headers["content-type"] == "application/json"
        await peer.read_end()

    async def test_with_a_response_is_403_on_daphne(self, serve: Serve) -> None:
        application = script(
            {"type": "websocket.http.response.start", "status": 404, "headers": []},
            {"type": "websocket.http.response.body", "body": b"gone"},
        )
        peer = await (await serve(application, "daphne")).dial()

        assert (await peer.upgrade()).status == 403

    async def test_tells_the_application_that_it_is_over(self, serve: Serve) -> None:
        events: list[str] = []

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            events.append((await receive())["type"])
            await send({"type": "websocket.close"})
            events.append((await receive())["type"])

        peer = await (await serve(application)).dial()

        assert (await peer.upgrade()).status == 403
        assert events == ["websocket.connect", "websocket.disconnect"]

    @pytest.mark.parametrize(
        ("event", "code"),
        [
            ({"type": "websocket.close"}, 1008),
            ({"type": "websocket.close", "code": 1000}, 1008),
            ({"type": "websocket.close", "code": 4404}, 4404),
            ({"type": "websocket.http.response.start", "status": 404}, 1008),
            ({"type": "websocket.http.response.start", "status": 503}, 1013),
        ],
    )
    async def test_late_becomes_a_close_code(
        self, serve: Serve, event: dict[str, object], code: int
    ) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            await send(event)
            await receive()

        peer = await (await serve(application)).connect()

        assert await peer.read_close() == code

    async def test_by_failing_is_500(
        self, serve: Serve, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            raise RuntimeError("asked for")

        peer = await (await serve(application, name)).dial()

        assert (await peer.upgrade()).status == 500
        assert "asked for" in caplog.text

    async def test_by_returning_is_500(self, serve: Serve) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        peer = await (await serve(application)).dial()

        assert (await peer.upgrade()).status == 500


class TestEnding:
    @pytest.mark.parametrize("name", ["picows", "daphne"])
    async def test_by_failing_after_the_handshake_is_1011(
        self, serve: Serve, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            raise RuntimeError("asked for")

        peer = await (await serve(application, name)).connect()

        peer.send(b"go")

        assert await peer.read_close() == 1011
        assert "asked for" in caplog.text

    async def test_by_returning_is_never_clean(self, serve: Serve) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()

        peer = await (await serve(application)).connect()

        peer.send(b"go")

        assert await peer.read_close() == 1011


class TestOtherRequests:
    async def test_plain_http_is_told_what_the_port_speaks(self, serve: Serve) -> None:
        application = SocketApplication()
        peer = await (await serve(application)).dial()

        peer.write(b"GET /functions HTTP/1.1\r\nHost: localhost\r\n\r\n")

        answer = await peer.read_answer()
        assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
        assert answer.body == b"This port speaks WebSocket only.\n"
        await peer.read_end()
        assert application.scopes == []

    @pytest.mark.parametrize(
        ("request_head", "status"),
        [
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
            (b"GET / HTTP/1.0\r\n\r\n", 400),
            (b"GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            (b"nonsense\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000, 431),
            (upgrade_request(headers=[("Sec-WebSocket-Version", "8")]), 426),
            (upgrade_request(headers=[("Sec-WebSocket-Key", "short")]), 400),
            (upgrade_request(headers=[("Upgrade", "h2c")]), 426),
        ],
    )
    async def test_get_a_short_answer_and_no_websocket(
        self, serve: Serve, request_head: bytes, status: int
    ) -> None:
        peer = await (await serve(SocketApplication())).dial()

        peer.write(request_head)

        assert (await peer.read_answer()).status == status
        await peer.read_end()

    async def test_leave_the_server_working(self, serve: Serve) -> None:
        running = await serve(SocketApplication())
        for garbage in (b"\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n", frame(CLOSE)):
            peer = await running.dial()
            peer.write(garbage)
            peer.half_close()
            async with asyncio.timeout(10):
                await peer.reader.read()

        peer = await running.connect()
        peer.send(b"still here")

        assert await peer.read_text() == b"still here"


class TestTimeout:
    @pytest.mark.parametrize("port", ["websocket", "http"])
    @pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: lo"])
    async def test_cuts_an_unfinished_request_head(
        self, serve: Serve, name: str, port: str, head: bytes
    ) -> None:
        running = await serve(SocketApplication(), name, handshake_timeout_ms=50)
        peer = await running.dial(running.http_port if port == "http" else None)

        peer.write(head)

        async with asyncio.timeout(10):
            answer = await peer.reader.read()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))

    async def test_cuts_the_unfinished_head_of_a_second_request(self, serve: Serve) -> None:
        running = await serve(SocketApplication(), handshake_timeout_ms=50)
        peer = await running.dial(running.http_port)
        peer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await peer.read_answer()).status == 200

        peer.write(b"GET / HT")

        assert (await peer.read_answer()).status == 408
        await peer.read_end()

    async def test_does_not_touch_a_websocket(self, serve: Serve, name: str) -> None:
        running = await serve(SocketApplication(), name, handshake_timeout_ms=50)
        peer = await running.connect()
        for _ in range(3):
            late = await running.dial()
            async with asyncio.timeout(10):
                await late.reader.read()

        peer.send(b"still here")

        assert await peer.read_text() == b"still here"


async def test_open_socket_falls_back_on_receive_and_send(serve: Serve) -> None:
    async def nothing() -> dict[str, object]:
        return {}

    async def ignore(message: object) -> None:
        pass

    socket = open_socket({"type": "websocket", "extensions": None}, nothing, ignore)

    assert isinstance(socket, AsgiSocket)
