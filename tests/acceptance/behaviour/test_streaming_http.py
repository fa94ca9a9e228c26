"""Requests and answers that stream through a worker, on every server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest

from tests.acceptance.behaviour.conftest import Engines, Site
from tests.acceptance.engine_process import Server
from tests.acceptance.raw_channel import BINARY, FRAME_SIZE, RawChannel, Refused, frame
from tests.acceptance.raw_worker import RawWorker
from tests.bench.procfs import memory
from tests.waiting import wait_until_still

MIB: Final = 1024 * 1024
LIMIT_S: Final = 20
BULK: Final = 256 * MIB

# How much an engine may grow by any amount of data that streams through it.
GROWTH_LIMIT_KIB: Final = 64 * 1024

OCTETS: Final = {"content-type": "application/octet-stream"}

MULTIPART: Final = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'

SHORT: Final = """\
      default_timeout: 1000
      sse_heartbeat_ms: 100
      max_stream_body_bytes: 100000
"""

# daphne hands a body over when it is whole and never waits for its clients, as it says at start.
bounded_servers: Final = pytest.mark.parametrize("server", ["picows", "uvicorn"], indirect=True)

Work = Callable[["Call"], None]


class Call:
    """A request as a streaming handler sees it."""

    def __init__(self, site: Site, request: dict[str, Any]) -> None:
        self.request = request
        self._url = site.engine.worker_url

    def body(self) -> RawChannel:
        """Attach to `request_body`."""
        return RawChannel(self._url, self.request["request_body"])

    def response(self) -> RawChannel:
        """Attach to `response`."""
        return RawChannel(self._url, self.request["response"])


class Streaming:
    """A handler whose work is done in a thread for each request, while it returns at once."""

    def __init__(self, site: Site, work: Work, result: Any = None) -> None:
        self.calls: list[Future[None]] = []
        self._site = site
        self._work = work
        self._result = result

    def __call__(self, request: Any) -> Any:
        pool = ThreadPoolExecutor(max_workers=1)
        self.calls.append(pool.submit(self._work, Call(self._site, request)))
        pool.shutdown(wait=False)
        return self._result

    def check(self) -> None:
        """Raise what the work has raised."""
        for call in self.calls:
            call.result(timeout=LIMIT_S)


def control(**members: Any) -> str:
    return json.dumps(members)


def set_headers(**headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return control(type="set_headers", headers=named)


def answer(*parts: bytes | str) -> Work:
    """Return the work of writing these parts and closing."""

    def work(call: Call) -> None:
        with call.response() as response:
            for part in parts:
                response.send(part)
            response.close()

    return work


def answer_until_closed(*parts: bytes | str) -> Work:
    """Return the work of writing these parts and waiting for the engine to close."""

    def work(call: Call) -> None:
        with call.response() as response:
            for part in parts:
                response.send(part)
            assert response.read() is None

    return work


def echo(call: Call) -> None:
    """Send the request's body back."""
    with call.body() as body, call.response() as response:
        for part in body:
            response.send(part)
        assert body.close_code == 1000
        response.close()


@pytest.fixture
def short(server: Server, engines: Engines, http: httpx.Client) -> Iterator[Site]:
    """The engine with SHORT options, and a worker."""
    engine = engines.get(server, SHORT)
    with RawWorker(engine.worker_url) as worker:
        yield Site(engine, worker, http)


def in_background(call: Callable[..., httpx.Response], *arguments: Any) -> Future[httpx.Response]:
    """Send a request in a thread of its own."""
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(call, *arguments)
    pool.shutdown(wait=False)
    return future


def hold(site: Site, path: str, method: str = "GET", worker: RawWorker | None = None) -> None:
    """Serve a path whose calls the test takes itself, by `next_invocation`."""
    worker = worker or site.worker
    worker.send({"type": "registerfunction", "id": site.id(path)})
    config = {"api_path": f"{site.name}/{path}", "http_method": method}
    worker.bind("http", site.id(path), config)
    site.settle(worker)


def post_head(
    site: Site, path: str, length: int | None, content_type: str = OCTETS["content-type"]
) -> str:
    """Return the head of a POST after which the connection ends."""
    head = f"POST /{site.name}/{path} HTTP/1.1\nHost: x\nConnection: close\n"
    head += f"Content-Type: {content_type}\n"
    return head if length is None else head + f"Content-Length: {length}\n"


@contextmanager
def raw_request(site: Site, head: str, body: bytes = b"") -> Iterator[socket.socket]:
    """Send a request on a plain socket; the lines of its head end with `\\n`."""
    port = site.engine.http_port
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        yield connection


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


# --- answers ----------------------------------------------------------------------------------


def test_status_headers_and_body_come_from_the_response_channel(site: Site) -> None:
    parts = [control(type="set_status", status_code=202), set_headers(x_a="1", x_b="2")]
    parts += [set_headers(X_A="3"), "unknown", control(type="unknown")]
    handler = Streaming(site, answer(*parts, b"one ", b"two"))
    site.route("x", handler)

    response = site.get("x", headers={"origin": "http://page"})

    assert (response.status_code, response.text) == (202, "one two")
    assert (response.headers["x-a"], response.headers["x-b"]) == ("3", "2")
    assert response.headers["access-control-allow-origin"] == "*"
    assert "content-type" not in response.headers
    handler.check()


def test_a_channel_that_closes_without_a_body_is_an_empty_answer(site: Site) -> None:
    site.route("x", Streaming(site, answer(control(type="set_status", status_code=201))))

    response = site.get("x")

    assert (response.status_code, response.content) == (201, b"")
    assert response.headers["content-length"] == "0"


@pytest.mark.parametrize("status", [99, 600, "201", None, True])
def test_a_status_that_does_not_exist_is_ignored(site: Site, status: Any) -> None:
    site.route("x", Streaming(site, answer(control(type="set_status", status_code=status), b"x")))

    assert site.get("x").status_code == 200


def test_an_event_arrives_before_the_last_is_written(site: Site) -> None:
    seen = threading.Event()

    def work(call: Call) -> None:
        with call.response() as response:
            response.send(set_headers(content_type="text/event-stream"))
            response.send(b"data: first\n\n")
            assert seen.wait(LIMIT_S)
            response.send(b"data: last\n\n")
            response.close()

    handler = Streaming(site, work)
    site.route("events", handler)

    with site.client.stream("GET", site.url("events")) as response:
        lines = response.iter_lines()
        assert next(lines) == "data: first"
        seen.set()
        assert [line for line in lines if line] == ["data: last"]

    assert response.headers["content-type"] == "text/event-stream"
    handler.check()


def test_a_silent_event_stream_gets_comment_lines(short: Site) -> None:
    done = threading.Event()

    def work(call: Call) -> None:
        with call.response() as response:
            response.send(set_headers(content_type="text/event-stream"))
            response.send(b"data: first\n\n")
            assert done.wait(LIMIT_S)
            response.close()

    handler = Streaming(short, work)
    short.route("events", handler)

    with short.client.stream("GET", short.url("events")) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [
            "data: first",
            "",
            ": keep-alive",
            ": keep-alive",
        ]
        done.set()
        assert set(lines) <= {": keep-alive"}
    handler.check()


def test_a_value_that_is_returned_before_the_body_wins(site: Site) -> None:
    hold(site, "x")

    asking = in_background(site.get, "x")
    invocation = site.next_invocation("x")
    with Call(site, invocation["data"]).response() as response:
        response.send(control(type="set_status", status_code=418))
        site.answer(invocation, {"status_code": 201, "body": {"a": 1}})
        assert response.read() is None

    answered = asking.result(timeout=LIMIT_S)
    assert (answered.status_code, answered.json()) == (201, {"a": 1})
    assert response.close_code == 1000


@pytest.mark.parametrize("member", ["result", "error"])
def test_what_a_handler_returns_after_the_head_is_ignored(site: Site, member: str) -> None:
    hold(site, "x")

    with raw_request(site, f"GET /{site.name}/x HTTP/1.1\nHost: x\nConnection: close\n") as client:
        invocation = site.next_invocation("x")
        with Call(site, invocation["data"]).response() as response:
            response.send(b"begun")
            received = read_until(client, b"begun")
            outcome = {"code": "c", "message": "m"} if member == "error" else {"status_code": 500}
            site.worker.send(
                {
                    "type": "invocationresult",
                    "invocation_id": invocation["invocation_id"],
                    "function_id": invocation["function_id"],
                    member: outcome,
                }
            )
            site.settle()
            response.send(b"ended")
            response.close()
        received += read_all(client)

    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"\r\n5\r\nended\r\n0\r\n\r\n")


def test_an_error_before_the_body_is_500_and_ends_the_channel(site: Site) -> None:
    hold(site, "x")

    asking = in_background(site.get, "x")
    invocation = site.next_invocation("x")
    with Call(site, invocation["data"]).response() as response:
        site.worker.send(
            {
                "type": "invocationresult",
                "invocation_id": invocation["invocation_id"],
                "error": {"code": "c", "message": "m"},
            }
        )
        assert response.read() is None

    assert asking.result(timeout=LIMIT_S).status_code == 500


def test_a_content_length_of_the_handlers_own_is_kept(site: Site) -> None:
    handler = Streaming(site, answer(set_headers(content_length="6"), b"abc", b"def"))
    site.route("x", handler)

    response = site.get("x")

    assert response.headers["content-length"] == "6"
    assert "transfer-encoding" not in response.headers
    assert response.text == "abcdef"


def test_more_than_the_content_length_is_cut(site: Site) -> None:
    site.route(
        "x", Streaming(site, answer_until_closed(set_headers(content_length="4"), b"abcdef"))
    )

    assert site.get("x").text == "abcd"
    assert site.get("x").text == "abcd"


def test_less_than_the_content_length_breaks_the_connection(site: Site) -> None:
    site.route("x", Streaming(site, answer(set_headers(content_length="9"), b"abc")))

    with pytest.raises(httpx.RemoteProtocolError):
        site.get("x")


def test_an_answer_whose_worker_dies_does_not_look_complete(site: Site) -> None:
    worker = site.connect()
    hold(site, "x", worker=worker)

    with raw_request(site, f"GET /{site.name}/x HTTP/1.1\nHost: x\nConnection: close\n") as client:
        call = Call(site, site.next_invocation("x", worker)["data"])
        with call.response() as response:
            response.send(b"half of it")
            received = read_until(client, b"half of it")
        worker.kill()
        received += read_all(client)

    assert not received.endswith(b"0\r\n\r\n")
    worker.close()


@pytest.mark.parametrize("returns_first", [True, False])
def test_a_writer_that_is_lost_has_ended_if_its_handler_returns(
    site: Site, returns_first: bool
) -> None:
    """As the Node SDK does where its close frame has to wait, and Rust without a close."""
    hold(site, "x")

    asking = in_background(site.get, "x")
    invocation = site.next_invocation("x")
    if returns_first:
        site.answer(invocation, None)
    with Call(site, invocation["data"]).response() as response:
        response.send(control(type="set_status", status_code=201))
        response.send(b"all of it")
    if not returns_first:
        site.answer(invocation, None)

    answered = asking.result(timeout=LIMIT_S)
    assert (answered.status_code, answered.text) == (201, "all of it")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_some_answers_have_no_body(site: Site, method: str, status: int) -> None:
    set_status = control(type="set_status", status_code=status)
    work = answer_until_closed(set_status, set_headers(x_a="1"), b"dropped")
    site.route("x", Streaming(site, work))

    for _ in range(2):  # the connection is in order
        response = site.request(method, "x")
        assert (response.status_code, response.content) == (status, b"")
        assert response.headers["x-a"] == "1"


def test_an_old_client_gets_no_chunks(site: Site) -> None:
    site.route("x", Streaming(site, answer(b"one ", b"two")))

    with raw_request(site, f"GET /{site.name}/x HTTP/1.0\n") as client:
        head, _, body = read_all(client).partition(b"\r\n\r\n")

    assert b"chunked" not in head.lower()
    assert body == b"one two"


def test_an_answer_that_streams_is_cut_when_the_engine_stops(
    server: Server, engines: Engines, http: httpx.Client
) -> None:
    engine = engines.fresh(server)
    with RawWorker(engine.worker_url) as worker:
        site = Site(engine, worker, http)
        work = answer_until_closed(set_headers(content_type="text/event-stream"), b"data: 1\n\n")
        handler = Streaming(site, work)
        site.route("x", handler)
        with site.client.stream("GET", site.url("x")) as response:
            parts = response.iter_raw()
            assert next(parts) == b"data: 1\n\n"
            engine.ask_to_stop()
            with pytest.raises(httpx.TransportError):
                next(parts)
        handler.check()


# --- requests ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/octet-stream", bytes(range(256)) * (3 * MIB // 256)),
        ("application/x-www-form-urlencoded", b"a=1&b=2"),
        ("text/plain", b"text"),
        ("multipart/form-data; boundary=x", MULTIPART),
        ("application/json", b'{ "a": 1.50 }'),
        ("application/json", b"not JSON"),
        ("application/json", b'"' + b"x" * MIB + b'"'),
        ("text/plain", b""),
    ],
)
def test_a_body_arrives_on_the_request_body_channel(
    site: Site, content_type: str, body: bytes
) -> None:
    handler = Streaming(site, echo)
    site.route("x", handler, method="POST")

    response = site.post("x", content=body, headers={"content-type": content_type})

    assert (response.status_code, response.content == body) == (200, True)
    handler.check()


def test_a_form_is_null_in_the_payload(site: Site) -> None:
    site.route("x", lambda request: {"body": request["body"]}, method="POST")

    assert site.post("x", data={"a": "1"}).json() is None


def test_a_body_comes_in_frames_that_every_sdk_reads(site: Site) -> None:
    sizes: list[int] = []

    def work(call: Call) -> None:
        with call.body() as body:
            sizes.extend(len(part) for part in body)
        answer(b"ok")(call)

    site.route("x", Streaming(site, work), method="POST")

    assert site.post("x", content=b"x" * MIB, headers=OCTETS).text == "ok"
    assert (max(sizes) <= FRAME_SIZE, sum(sizes)) == (True, MIB)


@bounded_servers
def test_the_handler_is_called_before_the_body_has_come(site: Site) -> None:
    hold(site, "x", method="POST")

    with raw_request(site, post_head(site, "x", 8), b"half") as client:
        invocation = site.next_invocation("x")
        call = Call(site, invocation["data"])
        with call.body() as body, call.response() as response:
            assert body.read() == b"half"
            response.send(b"so far so good")
            read_until(client, b"so far so good")
            client.sendall(b"rest")
            assert body.read() == b"rest"
            assert (body.read(), body.close_code) == (None, 1000)
            response.close()
        assert read_all(client).endswith(b"0\r\n\r\n")


def test_a_client_that_is_asked_for_its_body_sends_it(site: Site) -> None:
    site.route("x", Streaming(site, echo), method="POST")

    head = post_head(site, "x", 4) + "Expect: 100-continue\n"
    with raw_request(site, head) as client:
        read_until(client, b"100 Continue\r\n\r\n")
        client.sendall(b"body")
        assert b"body" in read_all(client)


def test_a_client_that_leaves_ends_the_handlers_channels(site: Site) -> None:
    hold(site, "x", method="POST")

    with raw_request(site, post_head(site, "x", 4, "application/json"), b"null"):
        invocation = site.next_invocation("x")
        call = Call(site, invocation["data"])
        response = call.response()
    with response:
        assert response.read() is None

    assert response.close_code == 1000
    with pytest.raises(Refused):
        call.body()


@bounded_servers
def test_a_client_that_leaves_in_the_middle_of_its_body_ends_the_reader(site: Site) -> None:
    hold(site, "x", method="POST")

    with raw_request(site, post_head(site, "x", 100), b"half"):
        invocation = site.next_invocation("x")
        body = Call(site, invocation["data"]).body()
        assert body.read() == b"half"
    with body:
        assert body.read() is None

    assert body.close_code == 1011, "the body is not complete"


def test_a_body_beyond_the_limit_is_413(short: Site) -> None:
    handler = Streaming(short, echo)
    short.route("x", handler, method="POST")

    response = short.post("x", content=b"x" * 100_001, headers=OCTETS)

    assert (response.status_code, handler.calls) == (413, [])
    assert short.post("x", content=b"x" * 100_000, headers=OCTETS).status_code == 200


def test_a_body_that_turns_out_to_be_beyond_the_limit_is_413(short: Site) -> None:
    def work(call: Call) -> None:
        with call.body() as body:
            for _ in body:
                pass
            assert body.close_code == 1011

    handler = Streaming(short, work)
    short.route("x", handler, method="POST")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    head = post_head(short, "x", None) + "Transfer-Encoding: chunked\n"
    with raw_request(short, head, 3 * chunk + b"0\r\n\r\n") as client:
        received = read_until(client, b"exceeds")

    assert received.startswith(b"HTTP/1.1 413 ")
    handler.check()


# --- time -------------------------------------------------------------------------------------


def test_a_handler_that_returns_nothing_and_writes_nothing_is_504(short: Site) -> None:
    short.route("x", lambda _: None)

    assert short.get("x").status_code == 504


def test_a_channel_without_a_body_in_time_is_504_and_is_ended(short: Site) -> None:
    closed: list[int | None] = []

    def work(call: Call) -> None:
        with call.response() as response:
            response.send(control(type="set_status", status_code=201))
            assert response.read() is None
            closed.append(response.close_code)

    handler = Streaming(short, work)
    short.route("x", handler)

    assert short.get("x").status_code == 504
    handler.check()
    assert closed == [1000]


def test_an_answer_that_has_begun_may_take_any_time(short: Site) -> None:
    short.route("never", lambda _: None)
    hold(short, "x")

    asking = in_background(short.get, "x")
    with Call(short, short.next_invocation("x")["data"]).response() as response:
        response.send(b"begun ")
        assert short.get("never").status_code == 504
        response.send(b"ended")
        response.close()

    assert asking.result(timeout=LIMIT_S).text == "begun ended"


@bounded_servers
def test_the_time_for_the_answer_begins_anew_while_the_body_comes(short: Site) -> None:
    short.route("never", lambda _: None)
    hold(short, "x", method="POST")

    with raw_request(short, post_head(short, "x", 8)) as client:
        call = Call(short, short.next_invocation("x")["data"])
        with call.body() as body:
            waiting = in_background(short.get, "never")
            for part in (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"):
                client.sendall(part)
                assert body.read() == part
                if part != b"h":
                    wait_until_still(waiting.done, "a part of the time limit", looks=10)
        assert waiting.done()
        answer(b"in time")(call)
        assert b"in time" in read_all(client)


@bounded_servers
def test_a_client_that_is_silent_in_its_body_is_408(short: Site) -> None:
    hold(short, "x", method="POST")

    with raw_request(short, post_head(short, "x", 8), b"half") as client:
        call = Call(short, short.next_invocation("x")["data"])
        with call.body() as body:
            assert body.read() == b"half"
            assert body.read() is None
        received = read_all(client)

    assert received.startswith(b"HTTP/1.1 408 ")
    assert body.close_code == 1011


# --- amounts ----------------------------------------------------------------------------------


def growth_kib(site: Site, before: int) -> int:
    return memory(site.engine.pid).rss_kib - before


@bounded_servers
def test_a_download_of_any_size_takes_constant_memory(site: Site) -> None:
    wire = frame(BINARY, bytes(range(256)) * (FRAME_SIZE // 256))

    def work(call: Call) -> None:
        with call.response() as response:
            for _ in range(BULK // FRAME_SIZE):
                response.send_frames(wire)
            response.close()

    handler = Streaming(site, work)
    site.route("x", handler)
    before = memory(site.engine.pid).rss_kib
    size = peak = 0
    with site.client.stream("GET", site.url("x")) as response:
        for part in response.iter_raw(4 * MIB):
            size += len(part)
            peak = max(peak, growth_kib(site, before))

    assert size == BULK
    assert peak < GROWTH_LIMIT_KIB
    handler.check()


@bounded_servers
def test_an_upload_of_any_size_takes_constant_memory(site: Site) -> None:
    before = memory(site.engine.pid).rss_kib
    peak = 0

    def work(call: Call) -> None:
        nonlocal peak
        size = 0
        with call.body() as body:
            for part in body:
                size += len(part)
                if size % (8 * MIB) < len(part):
                    peak = max(peak, growth_kib(site, before))
        answer(str(size).encode())(call)

    handler = Streaming(site, work)
    site.route("x", handler, method="POST")
    part = bytes(MIB)

    response = site.post("x", content=(part for _ in range(BULK // MIB)), headers=OCTETS)

    assert response.text == str(BULK)
    assert peak < GROWTH_LIMIT_KIB
    handler.check()


@bounded_servers
def test_a_handler_waits_for_a_slow_client(site: Site) -> None:
    sent = 0
    frames = 128 * MIB // FRAME_SIZE

    def work(call: Call) -> None:
        nonlocal sent
        with call.response() as response:
            for _ in range(frames):
                response.send(bytes(FRAME_SIZE))
                sent += 1
            response.close()

    handler = Streaming(site, work)
    site.route("x", handler)
    before = memory(site.engine.pid).rss_kib
    with site.client.stream("GET", site.url("x")) as response:
        assert wait_until_still(lambda: sent, "the handler") < frames
        assert growth_kib(site, before) < GROWTH_LIMIT_KIB
        assert sum(len(part) for part in response.iter_raw()) == frames * FRAME_SIZE
    handler.check()


@bounded_servers
def test_a_client_waits_for_a_slow_handler(site: Site) -> None:
    total = 128 * MIB
    hold(site, "x", method="POST")
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        while sent < total:
            yield bytes(FRAME_SIZE)
            sent += FRAME_SIZE

    before = memory(site.engine.pid).rss_kib
    asking = in_background(lambda: site.post("x", content=parts(), headers=OCTETS))
    call = Call(site, site.next_invocation("x")["data"])
    with call.body() as body:
        first = body.read()
        assert wait_until_still(lambda: sent, "the client") < total
        assert growth_kib(site, before) < GROWTH_LIMIT_KIB
        rest = sum(len(part) for part in body)
    answer(b"ok")(call)

    assert asking.result(timeout=LIMIT_S).text == "ok"
    assert first is not None
    assert len(first) + rest == total
