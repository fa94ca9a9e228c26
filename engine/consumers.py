"""The Channels consumers of the worker port: frames from a socket to a session and back.

They run their own receive loop instead of Channels' dispatch, which creates tasks for every
message, and use no channel layer: the generic consumer costs ten times as much a call.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from channels.consumer import AsyncConsumer

from engine.apps import get_engine
from engine.core.listeners import Receive, Scope, Send
from engine.core.session import WorkerSession
from engine.server.socket import open_socket

logger = logging.getLogger(__name__)

# Python SDKs up to 0.24.3 never come back after a clean close: errors of ours end with this one.
INTERNAL_ERROR: Final = 1011


class WorkerConsumer(AsyncConsumer):
    """One worker connection on `/`: the worker protocol."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Serve the connection from the greeting to the cleanup, which happens exactly once."""
        socket = open_socket(scope, receive, send)
        session = WorkerSession(get_engine(), socket, client_address(scope))
        try:
            await socket.accept()
            session.open()
            await socket.serve(session)
        finally:
            session.close()


class TelemetryConsumer(AsyncConsumer):
    """One telemetry connection on `/otel`: binary frames, never answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Read until the SDK leaves; spans, metrics and logs are not kept yet."""
        socket = open_socket(scope, receive, send)
        await socket.accept()
        await socket.serve(TelemetrySink())


class TelemetrySink:
    """Takes telemetry frames; text is ignored, as SDKs expect."""

    def on_text(self, payload: bytes) -> None:
        """Ignore it."""

    def on_binary(self, payload: bytes) -> None:
        """Ignore it."""


def client_address(scope: Scope) -> str | None:
    """Return the peer's address without its port, if the server knows it."""
    client: Any = scope.get("client")
    return client[0] if client else None
