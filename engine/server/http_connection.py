"""One HTTP connection on uvicorn's protocol, with a short way for whole responses.

uvicorn parses, keeps the order of pipelined requests, streams bodies and speaks ASGI. What is
added: an `Exchange`, by which an application answers in one call and one write, without a task;
a short way past the parser for a head that its client repeats; a timer for a request head that
does not end; and one timer for idle connections where uvicorn makes one for each response.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from engine.core.listeners import EXCHANGE, TAKEN
from engine.server.known_heads import KnownHead, KnownHeads, RequestHeaders, head_of

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

logger = logging.getLogger(__name__)

# Handlers may answer any status of three digits; uvicorn knows those below 600 only.
STATUS_LINE.update({code: b"HTTP/1.1 %d \r\n" % code for code in range(600, 1000)})

KEEP_ALIVE_S: Final = 75
"""How long an idle HTTP connection is kept: longer than the usual client or proxy does."""

JOINED_UP_TO: Final = 64 * 1024
"""Copying a larger body, in bytes, costs more than the system call that it saves."""

_TIMEOUT_RESPONSE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 32\r\nconnection: close\r\n\r\nThe request head took too long.\n"
)
_CLOSE: Final = (b"connection", b"close")

HEADS_TO_COMPARE: Final = 32
"""So many requests of a connection are parsed before it counts as one that repeats no head."""

_KNOWN_HEADS: Final = KnownHeads()


class _NoEvent:
    """Stands for the event of a request whose application waits for nothing."""

    def set(self) -> None:
        """Wake nobody."""


_NO_EVENT: Final[Any] = _NoEvent()


class HttpExchange(RequestResponseCycle):
    """A request and its response, by ASGI's messages or by `engine.core.listeners.Exchange`.

    What is the same for every new request stands in the class: one is made for each.
    """

    access_log = False
    body: Any = b""
    chunked_encoding = None
    default_headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - none, and nobody adds any
    disconnected = False
    expected_content_length = 0
    logger = logging.getLogger("uvicorn.error")
    message_event: Any = _NO_EVENT
    more_body = True
    response_complete = False
    response_started = False
    waiting_for_100_continue = False
    _is_ended_by_closing = False

    def __init__(
        self,
        connection: HttpConnection,
        method: bytes,
        raw_path: bytes,
        query: bytes,
        version: str,
        headers: RequestHeaders,
        keep_alive: bool,
    ) -> None:
        path = raw_path.decode("ascii")
        self.scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": connection.client,
            "server": connection.server,
            "extensions": {EXCHANGE: self},
        }
        self.transport = connection.transport
        self.flow = connection.flow
        self.on_response = connection.on_response_complete
        self.keep_alive = keep_alive

    @property
    def is_open(self) -> bool:
        """Whether the client can still get something."""
        return not (self.disconnected or self.transport.is_closing())

    def abort(self) -> None:
        """End the connection; what was written still leaves."""
        self.transport.close()

    def begin_to_wait(self) -> None:
        """Make the event that `receive` waits for."""
        if self.message_event is not _NO_EVENT:
            return
        self.message_event = asyncio.Event()
        if self.body or not self.more_body or self.disconnected:
            self.message_event.set()

    def whole_body(self) -> bytes | None:
        """Return the request's body if all of it has come, else None."""
        return None if self.more_body else bytes(self.body)

    def respond(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        more_headers: bytes = b"",
    ) -> Awaitable[None] | None:
        """Send a response in one write, see `Exchange.respond`."""
        transport = self.transport
        if self.disconnected or self.response_started or transport.is_closing():
            return None
        if self.flow.write_paused:
            return asyncio.ensure_future(
                self._respond_when_writable(status, headers, body, more_headers)
            )
        self.response_started = self.response_complete = True
        if self.waiting_for_100_continue:
            self._expect_no_held_back_body()
        pieces = [STATUS_LINE[status]]
        for name, value in headers:
            pieces += (name, b": ", value, b"\r\n")
        if _CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces += (more_headers, b"\r\n")
        if len(body) <= JOINED_UP_TO:
            pieces.append(body)
            transport.write(b"".join(pieces))
        else:
            transport.write(b"".join(pieces))
            transport.write(body)
        if self.message_event is not _NO_EVENT:
            self.message_event.set()
        del self.scope["extensions"]  # a cycle through us, which only the collector would find
        if not self.keep_alive:
            transport.close()
        self.on_response()
        return None

    async def send(self, message: Any) -> None:
        """Take an event of the application; a client of HTTP/1.0 knows no chunks."""
        kind = message["type"]
        if kind == "http.response.start":
            self._expect_no_held_back_body()
            self._is_ended_by_closing = self.scope["http_version"] == "1.0" and not any(
                name == b"content-length" for name, _ in message.get("headers", ())
            )
            if self._is_ended_by_closing:
                self.chunked_encoding = False
                self.expected_content_length = sys.maxsize
        elif self._is_ended_by_closing and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
        if self.response_complete:
            self.scope.pop("extensions", None)  # as in `respond`

    def _expect_no_held_back_body(self) -> None:
        # A body that nobody asked for may never come: another request would be read as it.
        if self.waiting_for_100_continue and self.more_body:
            self.keep_alive = False

    async def _respond_when_writable(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        more_headers: bytes,
    ) -> None:
        await self.flow.drain()
        waiting = self.respond(status, headers, body, more_headers)
        if waiting is not None:
            await waiting


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP protocol with exchanges and with timers of its own.

    Args:
        head_timeout_s: how long a client may take for a request head, from the connection on or,
            on a connection that is kept, from the head's first byte on.
    """

    # Beyond 30 attributes Python gives up the quick and compact form of an object's dict: what
    # each request touches stands in slots, uvicorn's own attributes included.
    __slots__ = (
        "_head_timeout_s",
        "_head_timer",
        "_heads_begun",
        "_heads_to_compare",
        "_idle_since",
        "_is_between_requests",
        "_is_head_open",
        "_is_parsing",
        "_known",
        "_last_head",
        "_next",
        "_running",
        "cycle",
        "expect_100_continue",
        "flow",
        "headers",
        "parser",
        "pipeline",
        "timeout_keep_alive_task",
        "transport",
        "url",
    )

    cycle: Any
    """The newest `HttpExchange`, None before the first request."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        head_timeout_s: float,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_head_open = True
        self._is_parsing = False
        self._is_between_requests = True
        self._heads_begun = 0
        self._heads_to_compare = HEADS_TO_COMPARE
        self._last_head = b""
        self._known: KnownHead | None = None
        self._next: tuple[HttpExchange, Any] | None = None
        self._running: HttpExchange | None = None
        self._idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and part from the last exchange, which knows us too."""
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            # With another one behind it in the pipeline it is not the newest.
            self._running.disconnected = True
            self._running.message_event.set()
        self._running = self.cycle = None

    # What comes in.

    def data_received(self, data: bytes) -> None:
        """Parse, start the request that is complete in its head, watch one that is not."""
        known = self._known
        begins_request = self._is_between_requests
        if (
            known is not None
            and begins_request
            and data.endswith(known.text)
            and self._begin_known(data, known)
        ):
            return
        self._heads_begun = 0
        self._is_parsing = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._stop_head_timer()
                self.handle_websocket_upgrade()
                return
        finally:
            self._is_parsing = False
        if begins_request and self._heads_to_compare and self._is_between_requests:
            self._compare_head(data)
        if self._next is not None:
            self._start_next()
        if self._is_head_open:
            if self._head_timer is None and not self.transport.is_closing():
                self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_too_slow)
        elif self._head_timer is not None:
            self._stop_head_timer()

    def _begin_known(self, data: bytes, known: KnownHead) -> bool:
        """Start a request of which only the target may be new; False: it has to be parsed."""
        start = known.start_of(data)
        former = self.cycle
        if start is None or not (former is None or former.response_complete):
            return False
        method, path, query = start
        exchange = HttpExchange(self, method, path, query, "1.1", known.headers, True)
        exchange.more_body = False
        self.cycle = exchange
        self._run(exchange, self.app)
        return True

    def _compare_head(self, data: bytes) -> None:
        """Look whether `data`, if it is a single request, has the same head as the last one."""
        self._heads_to_compare -= 1
        text = head_of(data) if self._heads_begun == 1 else b""
        if text and text == self._last_head:
            self._known = _KNOWN_HEADS.share(data, text, self.headers)
        self._last_head = text if self._heads_to_compare else b""

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._is_head_open = True
        self._is_between_requests = False
        self._heads_begun += 1
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Make the scope; the application starts when all that was read is parsed."""
        self._is_head_open = False
        parser = self.parser
        version = parser.get_http_version()
        raw_path, query = _split(self.url)
        method = parser.get_method()
        if parser.should_upgrade() and self._should_upgrade():
            self.scope = cast("Any", {"method": method.decode("ascii"), "headers": self.headers})
            return
        keep_alive = version != "1.0" and parser.should_keep_alive()
        former = self.cycle
        exchange = HttpExchange(self, method, raw_path, query, version, self.headers, keep_alive)
        if self.expect_100_continue:
            exchange.waiting_for_100_continue = True
        self.cycle = exchange
        if former is None or former.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def on_message_complete(self) -> None:
        """Note that the request's body is complete."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        self._is_between_requests = cycle is not None and cycle.keep_alive

    # What is answered.

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Start a request, not within the parser and not within the end of the former one."""
        self._next = cycle, app
        if not self._is_parsing:
            self.loop.call_soon(self._start_next)

    def _start_next(self) -> None:
        if self._next is None:
            return
        (exchange, app), self._next = self._next, None
        if not exchange.disconnected:
            self._run(exchange, app)

    def _run(self, exchange: HttpExchange, app: Any) -> None:
        self._running = exchange
        try:
            running = app(exchange.scope, exchange.receive, exchange.send)
        except Exception as error:
            running = _failing(error)
        if running is not TAKEN:
            exchange.begin_to_wait()
            super()._start_asgi_task(exchange, lambda *_: running)

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or count as idle from now on."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._expect_request(KEEP_ALIVE_S)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol."""
        self._unset_keepalive_if_required()
        super().handle_websocket_upgrade()

    # The timers.

    def _expect_request(self, timeout_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(timeout_s, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        """Close the connection if nothing has come for long; else look again when it may have."""
        self.timeout_keep_alive_task = None
        is_busy = self._head_timer is not None or not self.cycle.response_complete
        if is_busy or self.transport.is_closing():
            return  # the end of the response starts the timer anew
        remaining_s = self._idle_since + KEEP_ALIVE_S - self.loop.time()
        if remaining_s <= 0:
            self.transport.close()
        else:
            self._expect_request(remaining_s)

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.write(_TIMEOUT_RESPONSE)
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request target; httptools does so for unusual ones.

    Raises:
        httptools.HttpParserInvalidURLError: it is none.
    """
    if url.startswith(b"/") and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"", parsed.query or b""


async def _failing(error: Exception) -> None:
    raise error
