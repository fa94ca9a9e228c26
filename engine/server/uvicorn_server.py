"""HTTP on uvicorn, and WebSockets too where everything shall run on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from engine.server.base import BACKLOG, SERVICE_RESTART, BoundListener, Server
from engine.server.http_connection import KEEP_ALIVE_S, HttpConnection
from engine.server.socket import ABORT_EXTENSION, NO_CLOSE_FRAME

if TYPE_CHECKING:
    from websockets.http11 import Request

    from engine.core.listeners import ASGIApp

logger = logging.getLogger(__name__)

MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024

GRACE_S: Final = 5.0
"""How long requests in progress may take when the server closes."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which can be closed with any code and aborted."""

    def handle_connect(self, event: Request) -> None:
        """Tell the application how to drop the connection, too."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            self.scope["extensions"][ABORT_EXTENSION] = cast("Any", self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say 1006 where no close frame came; uvicorn would say that one without a code did."""
        if self.handshake_complete and self.conn.close_rcvd is None and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": NO_CLOSE_FRAME})
        super().connection_lost(exc)

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
