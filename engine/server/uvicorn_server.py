"""HTTP on uvicorn, and WebSockets too where everything shall run on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from engine.server.base import BACKLOG, SERVICE_RESTART, BoundListener, Server
from engine.server.head_and_body import HeadAndBody
from engine.server.socket import ABORT_EXTENSION

if TYPE_CHECKING:
    from websockets.http11 import Request

    from engine.core.listeners import ASGIApp

logger = logging.getLogger(__name__)

# Handlers may answer any status of three digits; uvicorn knows those below 600 only.
STATUS_LINE.update({code: b"HTTP/1.1 %d \r\n" % code for code in range(600, 1000)})

MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024

KEEP_ALIVE_S: Final = 75
"""How long an idle HTTP connection is kept: longer than the usual client or proxy does."""

GRACE_S: Final = 5.0
"""How long requests in progress may take when the server closes."""

_TIMEOUT_RESPONSE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 32\r\nconnection: close\r\n\r\nThe request head took too long.\n"
)


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a timer for a request head that does not end.

    Args:
        head_timeout_s: how long a client may take for it, from the connection on or, on a
            connection that is kept, from the head's first byte on.
    """

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head."""
        super().connection_made(cast("Any", HeadAndBody(transport, self.loop)))
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_too_slow)

    def data_received(self, data: bytes) -> None:
        """Parse, then see whether a head is still unfinished."""
        super().data_received(data)
        if self._is_head_open:
            if self._head_timer is None and not self.transport.is_closing():
                self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_too_slow)
        elif self._head_timer is not None:
            self._stop_head_timer()

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._is_head_open = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self._is_head_open = False
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which writes to the transport."""
        self.transport = cast("HeadAndBody", self.transport).transport
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """Note that the next thing written begins a response."""
        cast("HeadAndBody", self.transport).response_begins()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.write(_TIMEOUT_RESPONSE)
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which can be closed with any code and aborted."""

    def handle_connect(self, event: Request) -> None:
        """Tell the application how to drop the connection, too."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            self.scope["extensions"][ABORT_EXTENSION] = cast("Any", self.transport.abort)

    def shut_down(self, code: int) -> None:
        """Close with `code` and give the peer a moment to answer."""
        if not self.handshake_complete or self.close_sent:
            self.shutdown()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)


CLOSE_TIMEOUT_S: Final = 3.0


class UvicornServer(Server):
    """Every kind of port on uvicorn, without what its own `Server` would add.

    uvicorn's server takes the process's signals, exits the process when it cannot bind and
    wakes ten times a second; its protocols need none of that, so they are used alone.
    """

    def __init__(self, application: ASGIApp) -> None:
        super().__init__(application)
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._config = Config(
            cast("Any", application),
            http=HttpConnection,
            ws=WebSocketConnection,
            ws_max_size=MAX_MESSAGE_SIZE,
            ws_ping_interval=None,
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            interface="asgi3",
            timeout_keep_alive=KEEP_ALIVE_S,
        )

    async def start(self, listeners: Sequence[BoundListener]) -> None:
        """Listen on all sockets."""
        if not self._config.loaded:
            self._config.load()
        loop = asyncio.get_running_loop()
        for bound in listeners:
            connection = partial(
                HttpConnection,
                self._config,
                self._state,
                {},
                loop,
                head_timeout_s=bound.listener.handshake_timeout_ms / 1000,
            )
            bound.listen()
            for sock in bound.sockets:
                server = await loop.create_server(connection, sock=sock, backlog=BACKLOG)
                self._servers.append(server)

    async def stop_accepting(self) -> None:
        """Close the listening sockets."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self, code: int = SERVICE_RESTART) -> None:
        """Close all connections; requests in progress have a few seconds."""
        await self.stop_accepting()
        for connection in list(self._state.connections):
            if isinstance(connection, WebSocketConnection):
                connection.shut_down(code)
            else:
                connection.shutdown()
        await self._wait_for_tasks()
        for connection in list(self._state.connections):
            connection.transport.abort()

    async def _wait_for_tasks(self) -> None:
        tasks = set(self._state.tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
