"""WebSocket ports on picows through our ASGI bridge, HTTP ports on uvicorn: the default server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.server.base import BACKLOG, SERVICE_RESTART, BoundListener, Server
from engine.server.outbox import DEFAULT_LIMITS, OutboxLimits
from engine.server.picows_connection import CLOSE_TIMEOUT_S, Connection, Shared
from engine.server.uvicorn_server import UvicornServer

if TYPE_CHECKING:
    from engine.core.listeners import ASGIApp

APPLICATION_TIMEOUT_S: Final = 5.0
"""How long applications may take to notice that their connections are over."""


class PicowsServer(Server):
    """The fast server; `create_server("picows", …)`.

    The transports are the running loop's own (uvloop's in the engine): picows is never given
    its other one, `aiofastnet`, whose buffering differs.

    Args:
        application: gets the scopes of all ports.
        limits: how much may be queued for one WebSocket.
    """

    def __init__(self, application: ASGIApp, *, limits: OutboxLimits = DEFAULT_LIMITS) -> None:
        super().__init__(application)
        self._http = UvicornServer(application)
        self._shared = Shared(application, limits)
        self._servers: list[asyncio.Server] = []

    async def start(self, listeners: Sequence[BoundListener]) -> None:
        """Listen, and serve each port by its protocol."""
        for bound in listeners:
            if bound.listener.protocol == "websocket":
                await self._listen(bound)
        await self._http.start([item for item in listeners if item.listener.protocol == "http"])

    async def _listen(self, bound: BoundListener) -> None:
        bound.listen()
        timeout_s = bound.listener.handshake_timeout_ms / 1000
        for sock in bound.sockets:
            server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self._shared, timeout_s), sock=sock, backlog=BACKLOG
            )
            self._servers.append(server)

    async def stop_accepting(self) -> None:
        """Close the listening sockets."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._http.stop_accepting()

    async def close(self, code: int = SERVICE_RESTART) -> None:
        """Close all connections; each has a few seconds to say goodbye."""
        await self.stop_accepting()
        for connection in list(self._shared.connections):
            connection.shut_down(code)
        await asyncio.gather(self._http.close(code), self._wait_until_gone())
        self._shared.grown.stop()

    async def _wait_until_gone(self) -> None:
        """Wait for the connections, each of which has its own time limit, then for the tasks."""
        await self._shared.wait_until_empty(CLOSE_TIMEOUT_S + 1.0)
        for connection in list(self._shared.connections):
            connection.abort()
        tasks = set(self._shared.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=APPLICATION_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
