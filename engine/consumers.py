"""The Channels consumers of the worker and stream ports: frames from a socket to a session.

They run their own receive loop instead of Channels' dispatch, which creates tasks for every
message, and use no channel layer: the generic consumer costs ten times as much a call.
"""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import parse_qs

from channels.consumer import AsyncConsumer
from django.conf import settings

from engine.apps import get_engine
from engine.background.token import TOKEN_HEADER, is_internal_token
from engine.core.channels import LOST, Channel, Direction, is_direction
from engine.core.listeners import Receive, Scope, Send
from engine.core.session import WorkerSession
from engine.server.channel_ends import end_of
from engine.server.outbox import OutboxLimits
from engine.server.refusal import Refusal
from engine.server.socket import open_socket
from streams.authentication import chosen_subprotocol
from streams.desk import Desk
from streams.outlet import HANDED_OVER, HANDED_OVER_BYTES

logger = logging.getLogger(__name__)

# Python SDKs up to 0.24.3 never come back after a clean close: errors of ours end with this one.
INTERNAL_ERROR: Final = 1011

POLICY_VIOLATION: Final = 1008

STREAM_LIMITS: Final = OutboxLimits(messages=HANDED_OVER, size=HANDED_OVER_BYTES, stall_s=600.0)
"""Little waits for a stream client that does not read, so it has time: it is told what it lost."""

INTERNAL_HEADER: Final = TOKEN_HEADER.encode()
WRONG_TOKEN: Final = "the internal token is wrong: this process has another SECRET_KEY"

NO_CHANNEL: Final = Refusal(404, "Channel not found")


class WorkerConsumer(AsyncConsumer):
    """One worker connection on `/`: the worker protocol."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Serve the connection from the greeting to the cleanup, which happens exactly once."""
        socket = open_socket(scope, receive, send)
        token = internal_token_of(scope)
        if token is not None and not is_internal_token(token, settings.SECRET_KEY):
            await socket.accept()
            socket.close(POLICY_VIOLATION, WRONG_TOKEN)
            await socket.serve(Ignored())
            return
        session = WorkerSession(
            get_engine(), socket, client_address(scope), is_internal=token is not None
        )
        try:
            await socket.accept()
            session.open()
            await socket.serve(session)
        finally:
            session.close()


class ChannelConsumer(AsyncConsumer):
    """One end of a data channel on `/ws/channels/<id>?key=…&dir=read|write`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Serve the end until its connection is over; refuse what is no channel's."""
        asked_for = find_end(scope)
        if asked_for is None:
            await NO_CHANNEL(scope, receive, send)
            return
        socket = open_socket(scope, receive, send)
        await socket.accept()
        end = end_of(*asked_for, socket)
        if not end.connect():
            socket.close(POLICY_VIOLATION, "this end of the channel is taken already")
            await socket.serve(Ignored())
            return
        code = LOST
        try:
            code = await socket.serve(end)
        finally:
            end.left(code)


class StreamConsumer(AsyncConsumer):
    """One client of streams, on any path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Serve the connection from the handshake to the leave handlers."""
        socket = open_socket(scope, receive, send)
        # Accepted at once, whatever the auth function says: it refuses nobody, and a sub-protocol
        # can be chosen in the first step only.
        await socket.accept(chosen_subprotocol(scope["subprotocols"]))
        session = await get_engine().service(Desk).connect(socket, scope)
        socket.limit(STREAM_LIMITS, session.on_room)
        try:
            await socket.serve(session)
        finally:
            session.close()


class TelemetryConsumer(AsyncConsumer):
    """One telemetry connection on `/otel`: binary frames, never answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Read until the SDK leaves; spans, metrics and logs are not kept yet."""
        socket = open_socket(scope, receive, send)
        await socket.accept()
        await socket.serve(Ignored())


class Ignored:
    """Takes frames that mean nothing to the engine."""

    def on_text(self, payload: bytes) -> None:
        """Ignore it."""

    def on_binary(self, payload: bytes) -> None:
        """Ignore it."""


def find_end(scope: Scope) -> tuple[Channel, Direction] | None:
    """Return the end that a handshake asks for; None if it does not exist or the key is wrong."""
    channel_id = scope["path"].rpartition("/")[2]
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    key, direction = query.get("key", [""])[-1], query.get("dir", [""])[-1]
    if not key or not is_direction(direction):
        return None
    offer = get_engine().channels.find(channel_id, key)
    return None if offer is None else (offer.channel(direction), direction)


def internal_token_of(scope: Scope) -> bytes | None:
    """Return what a handshake offers to prove that it comes from a process of the engine's own."""
    for name, value in scope["headers"]:
        if name == INTERNAL_HEADER:
            token: bytes = value
            return token
    return None


def client_address(scope: Scope) -> str | None:
    """Return the peer's address without its port, if the server knows it."""
    client: Any = scope.get("client")
    return client[0] if client else None
