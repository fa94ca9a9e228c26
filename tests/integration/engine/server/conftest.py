"""Real servers on free ports, within the test's own loop: uvloop, one for the session.

Twisted has one reactor in a process, on one loop: so all of these tests share theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TypeAlias

import pytest
import pytest_asyncio
import uvloop

from engine.core.listeners import ASGIApp, Listener
from engine.server.base import BoundListener, Server, bind_listeners, create_server
from engine.server.outbox import OutboxLimits
from engine.server.picows_server import PicowsServer
from tests.integration.engine.server.wire import Peer

SERVERS = ("picows", "uvicorn", "daphne")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the engine's event loop."""
    return {"uvloop": uvloop.new_event_loop}


class Running:
    """A started server with one WebSocket and one HTTP port."""

    def __init__(self, server: Server, bound: list[BoundListener]) -> None:
        self.server = server
        self.port = bound[0].port
        self.http_port = bound[1].port
        self.peers: list[Peer] = []

    async def connect(
        self,
        path: str = "/",
        headers: tuple[tuple[str, str], ...] = (),
        receive_buffer: int = 0,
    ) -> Peer:
        """Return a peer past its handshake."""
        peer = await Peer.connect(self.port, path, headers, receive_buffer=receive_buffer)
        self.peers.append(peer)
        return peer

    async def dial(self, port: int | None = None, host: str = "127.0.0.1") -> Peer:
        """Return a peer before its handshake."""
        peer = await Peer.dial(self.port if port is None else port, host)
        self.peers.append(peer)
        return peer

    def drop_peers(self) -> None:
        """Drop all connections from their side."""
        for peer in self.peers:
            peer.abort()


Serve: TypeAlias = Callable[..., Awaitable[Running]]


@pytest_asyncio.fixture(loop_scope="session")
async def serve() -> AsyncIterator[Serve]:
    """Start servers; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def start(
            application: ASGIApp,
            name: str = "picows",
            *,
            limits: OutboxLimits | None = None,
            handshake_timeout_ms: int = 10_000,
        ) -> Running:
            bound = bind_listeners(
                [
                    Listener(
                        "workers", None, 0, "websocket", "workers", None, handshake_timeout_ms
                    ),
                    Listener("http", None, 0, "http", "REST API", None, handshake_timeout_ms),
                ]
            )
            if limits is not None and name == "picows":
                server: Server = PicowsServer(application, limits=limits)
            else:
                server = create_server(name, application)
            running = Running(server, bound)
            stack.push_async_callback(server.close)
            stack.callback(running.drop_peers)
            await server.start(bound)
            return running

        yield start


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Every server, for promises that hold on all of them."""
    return str(request.param)
