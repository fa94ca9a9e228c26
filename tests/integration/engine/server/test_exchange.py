"""Whole responses on the HTTP port: without a task, in order, and bounded by the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engine.core.listeners import EXCHANGE, TAKEN, Exchange, Message, Receive, Scope, Send
from engine.server import http_connection
from tests.integration.engine.server.applications import eventually
from tests.integration.engine.server.conftest import Running, Serve
from tests.integration.engine.server.wire import LIMIT_S, Peer

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVERS = ("picows", "uvicorn")
TEXT = (b"content-type", b"text/plain")


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """The servers that offer exchanges; daphne does not."""
    return str(request.param)


class Application:
    """Keeps every exchange for the test; answers each at once if it is told how."""

    def __init__(self, answer: Callable[[str, Exchange], None] | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self.paths: list[str] = []
        self._answer = answer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        self.exchanges.append(exchange)
        self.paths.append(scope["path"])
        if self._answer is not None:
            self._answer(scope["path"], exchange)
        return TAKEN

    async def exchange(self, index: int = 0) -> Exchange:
        """Return an exchange once its request has come."""
        await eventually(lambda: len(self.exchanges) > index, "the request has come")
        return self.exchanges[index]


def respond(
    exchange: Exchange, body: bytes, *headers: tuple[bytes, bytes], status: int = 200
) -> None:
    length = (b"content-length", b"%d" % len(body))
    assert exchange.respond(status, [TEXT, length, *headers], body) is None


def echo(path: str, exchange: Exchange) -> None:
    respond(exchange, path.encode())


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


async def dial(running: Running) -> Peer:
    return await running.dial(running.http_port)


async def test_a_response_arrives_whole_and_the_connection_lives_on(
    serve: Serve, name: str
) -> None:
    peer = await dial(await serve(Application(echo), name))
    for path in ("/one", "/two"):
        peer.write(get(path))
        answer = await peer.read_answer()
        assert (answer.status, answer.body) == (200, path.encode())
        assert answer.headers == {
            "content-type": "text/plain",
            "content-length": str(len(path)),
        }


async def test_a_response_may_come_later(serve: Serve, name: str) -> None:
    application = Application()
    peer = await dial(await serve(application, name))
    peer.write(get("/"))

    respond(await application.exchange(), b"later", status=201)

    answer = await peer.read_answer()
    assert (answer.status, answer.body) == (201, b"later")


async def test_pipelined_requests_are_answered_one_after_the_other(serve: Serve, name: str) -> None:
    application = Application()
    peer = await dial(await serve(application, name))
    peer.write(get("/1"), get("/2"), get("/3"))
    for number in range(3):
        exchange = await application.exchange(number)
        assert len(application.exchanges) == number + 1, "the next one waits for its turn"
        respond(exchange, b"%d" % number)
        assert (await peer.read_answer()).body == b"%d" % number
    assert application.paths == ["/1", "/2", "/3"]


async def test_thousands_of_pipelined_requests_do_not_nest(serve: Serve, name: str) -> None:
    peer = await dial(await serve(Application(echo), name))
    count = 3000
    peer.write(*(get(f"/{number}") for number in range(count)))
    for number in range(count):
        assert (await peer.read_answer()).body == b"/%d" % number


async def test_a_body_that_came_with_the_head_is_there_at_once(serve: Serve, name: str) -> None:
    bodies: list[bytes | None] = []

    def answer(_: str, exchange: Exchange) -> None:
        bodies.append(exchange.whole_body())
        respond(exchange, b"")

    peer = await dial(await serve(Application(answer), name))
    peer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345")
    await peer.read_answer()
    peer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")
    await peer.read_answer()
    assert bodies == [b"12345", None]


async def test_an_asgi_application_may_wait_for_the_rest_of_a_body(serve: Serve, name: str) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        respond(exchange, body)

    peer = await dial(await serve(application, name))
    peer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123")
    peer.write(b"456")
    assert (await peer.read_answer()).body == b"123456"
    peer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
    assert (await peer.read_answer()).body == b"ab"


@pytest.mark.parametrize(
    ("request_head", "headers"),
    [
        (get("/", "Connection: close"), ()),
        (get("/"), ((b"connection", b"close"),)),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", ()),
    ],
)
async def test_who_asks_for_the_end_of_the_connection_gets_it(
    serve: Serve, name: str, request_head: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    def answer(_: str, exchange: Exchange) -> None:
        respond(exchange, b"bye", *headers)

    peer = await dial(await serve(Application(answer), name))
    peer.write(request_head)
    answered = await peer.read_answer()
    assert (answered.body, answered.headers["connection"]) == (b"bye", "close")
    await peer.read_end()


async def test_a_client_that_has_left_gets_nothing_and_nothing_breaks(
    serve: Serve, name: str
) -> None:
    application = Application()
    running = await serve(application, name)
    peer = await dial(running)
    peer.write(get("/"))
    exchange = await application.exchange()
    peer.abort()
    await eventually(lambda: getattr(exchange, "disconnected", False), "the server has noticed")

    respond(exchange, b"too late")

    after = await dial(running)
    after.write(get("/"))
    respond(await application.exchange(1), b"fine")
    assert (await after.read_answer()).body == b"fine"


class Streaming:
    """Answers every request in two parts, by ASGI's messages, after it was TAKEN."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.exchanges: list[Exchange] = []
        self.events: list[Message] = []
        self._headers = headers
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        self.exchanges.append(exchange)
        task = asyncio.get_running_loop().create_task(self._answer(exchange, receive, send))
        self._tasks.add(task)
        return TAKEN

    async def _answer(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.begin_to_wait()
        exchange.begin_to_wait()
        self.events.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        self.events.append(await receive())
        if exchange.is_open:
            await send({"type": "http.response.body", "body": b"two"})


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


async def test_a_request_that_was_taken_may_stream_after_all(serve: Serve, name: str) -> None:
    application = Streaming((b"content-length", b"7"))
    peer = await dial(await serve(application, name))
    for _ in range(2):
        peer.write(POST, b"ab")
        await asyncio.wait_for(peer.reader.readuntil(b"one "), LIMIT_S)
        peer.write(b"cd")
        assert await asyncio.wait_for(peer.reader.readexactly(3), LIMIT_S) == b"two"
    assert [event["body"] for event in application.events] == [b"ab", b"cd"] * 2


async def test_a_streaming_application_hears_that_its_client_has_left(
    serve: Serve, name: str
) -> None:
    application = Streaming()
    peer = await dial(await serve(application, name))
    peer.write(POST, b"ab")
    await asyncio.wait_for(peer.reader.readuntil(b"one "), LIMIT_S)

    peer.abort()

    await eventually(lambda: len(application.events) == 2, "the application has heard of it")
    assert application.events[1] == {"type": "http.disconnect"}
    assert not application.exchanges[0].is_open


async def test_a_response_without_a_length_ends_with_the_connection_of_an_old_client(
    serve: Serve, name: str
) -> None:
    peer = await dial(await serve(Streaming(), name))
    peer.write(POST.replace(b"1.1", b"1.0"), b"ab")
    head = await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), LIMIT_S)
    peer.write(b"cd")

    assert b"transfer-encoding" not in head
    assert await asyncio.wait_for(peer.reader.read(), LIMIT_S) == b"one two"


async def test_a_response_that_is_aborted_ends_its_connection(serve: Serve, name: str) -> None:
    application = Streaming()
    peer = await dial(await serve(application, name))
    peer.write(POST, b"ab")
    await asyncio.wait_for(peer.reader.readuntil(b"one "), LIMIT_S)

    application.exchanges[0].abort()

    assert await asyncio.wait_for(peer.reader.read(), LIMIT_S) == b"\r\n"
    assert not application.exchanges[0].is_open


async def test_a_body_that_was_held_back_and_not_asked_for_ends_the_connection(
    serve: Serve, name: str
) -> None:
    peer = await dial(await serve(Application(echo), name))
    peer.write(POST.replace(b"Host", b"Expect: 100-continue\r\nHost"))

    answer = await peer.read_answer()

    assert (answer.body, answer.headers["connection"]) == (b"/", "close")
    await peer.read_end()


async def test_an_application_that_raises_at_once_is_a_500(
    serve: Serve, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(_: str, exchange: Exchange) -> None:
        raise RuntimeError("asked for")

    peer = await dial(await serve(Application(answer), name))
    peer.write(get("/"))
    assert (await peer.read_answer()).status == 500
    assert "asked for" in caplog.text


async def test_a_client_that_does_not_read_is_sent_no_more_than_a_buffer(
    serve: Serve, name: str
) -> None:
    body = bytes(1024 * 1024)
    waiting: list[Awaitable[None]] = []

    def answer(_: str, exchange: Exchange) -> None:
        headers = [TEXT, (b"content-length", b"%d" % len(body))]
        held = exchange.respond(200, headers, body)
        if held is not None:
            waiting.append(held)

    application = Application(answer)
    running = await serve(application, name)
    peer = await Peer.dial(running.http_port, receive_buffer=4096)
    running.peers.append(peer)
    count = 64
    peer.write(*(get("/") for _ in range(count)))

    await eventually(lambda: waiting, "a response waits for the client")
    asked = len(application.exchanges)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(application.exchanges) == asked < count

    for _ in range(count):
        assert (await peer.read_answer()).body == body


async def test_an_idle_connection_is_closed_but_not_one_that_was_busy(
    serve: Serve, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "KEEP_ALIVE_S", 0.3)
    application = Application()
    peer = await dial(await serve(application, name))
    loop = asyncio.get_running_loop()
    peer.write(get("/"))
    respond(await application.exchange(), b"first")
    await peer.read_answer()
    peer.write(get("/"))
    exchange = await application.exchange(1)
    begun = loop.time()
    await eventually(lambda: loop.time() > begun + 0.5, "the request takes longer than idling may")
    respond(exchange, b"second")
    assert (await peer.read_answer()).body == b"second"

    answered = loop.time()
    await peer.read_end()
    assert loop.time() - answered >= 0.25


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/a%20b/c?x=1&y", "/a b/c", b"/a%20b/c", b"x=1&y"),
        ("/", "/", b"/", b""),
        ("/a#b?c", "/a", b"/a", b""),
        ("http://a:1/p?q=1", "/p", b"/p", b"q=1"),
        ("//double?", "//double", b"//double", b""),
    ],
)
async def test_targets_are_parted_as_uvicorn_does(
    serve: Serve, name: str, target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    scopes: list[Scope] = []

    def application(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scopes.append(scope)
        respond(scope["extensions"][EXCHANGE], b"")
        return TAKEN

    peer = await dial(await serve(application, name))
    peer.write(get(target))
    await peer.read_answer()
    scope = scopes[0]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


class Witness:
    """Answers with the path, and keeps the scopes as the client's doing made them."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes | None] = []

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        del scope["client"]
        self.scopes.append(scope)
        self.bodies.append(exchange.whole_body())
        more = () if scope["method"] != "HEAD" else ((b"x-head", b"1"),)
        respond(exchange, scope["path"].encode() if not more else b"", *more)
        return TAKEN


def heads(witness: Witness) -> list[Scope]:
    return [{**scope, "headers": list(scope["headers"])} for scope in witness.scopes]


LINES = ("User-Agent: test", "Cookie: a=1; b=2")


async def test_a_head_that_a_client_repeats_is_the_same_object_from_the_third_time_on(
    serve: Serve, name: str
) -> None:
    witness = Witness()
    peer = await dial(await serve(witness, name))
    for _ in range(4):
        peer.write(get("/a", *LINES))
        assert (await peer.read_answer()).body == b"/a"

    first, second, third, fourth = (scope["headers"] for scope in witness.scopes)

    assert third is fourth
    assert list(first) == list(second) == list(third)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    "target",
    ["/", "/?", "/a%20b/c?x=1&y", "//double?a?b", "/a#b?c", "http://a:1/p?q=1", "/%zz;=@'\"<>|"],
)
async def test_a_request_means_the_same_whether_its_head_is_known_or_not(
    serve: Serve, name: str, method: str, target: str
) -> None:
    witness = Witness()
    running = await serve(witness, name)
    request = get(target, *LINES).replace(b"GET", method.encode(), 1)
    fresh = await dial(running)
    fresh.write(request)
    await fresh.read_answer()
    peer = await dial(running)
    for _ in range(3):
        peer.write(get("/other", *LINES))
        await peer.read_answer()

    peer.write(request)
    await peer.read_answer()

    scopes = heads(witness)
    assert scopes[-1] == scopes[0]
    assert witness.bodies[-1] == witness.bodies[0] == b""


async def test_requests_with_a_known_head_may_come_together_and_in_pieces(
    serve: Serve, name: str
) -> None:
    peer = await dial(await serve(Application(echo), name))
    for _ in range(3):
        peer.write(get("/first"))
        await peer.read_answer()

    peer.write(get("/1") + get("/2") + get("/3"))
    for number in range(1, 4):
        assert (await peer.read_answer()).body == b"/%d" % number

    request = get("/pieces")
    for at in (1, 5, 12, len(request) - 1):
        peer.write(request[:at])
        await peer.writer.drain()
        await asyncio.sleep(0)
        peer.write(request[at:])
        assert (await peer.read_answer()).body == b"/pieces"


async def test_a_request_with_a_known_head_waits_for_its_turn(serve: Serve, name: str) -> None:
    application = Application()
    peer = await dial(await serve(application, name))
    for number in range(3):
        peer.write(get("/first"))
        respond(await application.exchange(number), b"")
        await peer.read_answer()

    peer.write(get("/a"))
    one = await application.exchange(3)
    peer.write(get("/b"))
    respond(one, b"1")
    assert (await peer.read_answer()).body == b"1"
    respond(await application.exchange(4), b"2")
    assert (await peer.read_answer()).body == b"2"
    assert application.paths[3:] == ["/a", "/b"]


async def test_a_body_that_looks_like_a_known_request_is_a_body(serve: Serve, name: str) -> None:
    witness = Witness()
    peer = await dial(await serve(witness, name))
    for _ in range(3):
        peer.write(get("/first"))
        await peer.read_answer()
    body = get("/hidden")
    peer.write(b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
    await eventually(lambda: len(witness.scopes) == 4, "the head of the request has come")
    peer.write(body)
    peer.write(get("/last"))

    assert (await peer.read_answer()).body == b"/post"
    assert (await peer.read_answer()).body == b"/last"
    assert [scope["path"] for scope in witness.scopes[3:]] == ["/post", "/last"]


async def test_a_connection_that_repeats_nothing_is_served_all_the_same(
    serve: Serve, name: str
) -> None:
    peer = await dial(await serve(Application(echo), name))
    for number in range(http_connection.HEADS_TO_COMPARE + 3):
        peer.write(get(f"/{number}", f"X-Number: {number}"))
        assert (await peer.read_answer()).body == b"/%d" % number


async def test_the_headers_in_common_come_behind_the_others(serve: Serve, name: str) -> None:
    def answer(_: str, exchange: Exchange) -> None:
        headers = [TEXT, (b"content-length", b"2")]
        exchange.respond(200, headers, b"ok", b"vary: origin\r\nx-all: 1\r\n")

    peer = await dial(await serve(Application(answer), name))
    peer.write(get("/"))

    answered = await peer.read_answer()

    assert answered.body == b"ok"
    assert list(answered.headers) == ["content-type", "content-length", "vary", "x-all"]
