"""What a module says about a port that it wants: one frozen value for each listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Listener:
    """A port that a module wants to serve.

    Attributes:
        room: which application serves it: `workers`, `http`, `streams`; unique in an engine.
        host: address or name to bind; None is the loopback, on both 127.0.0.1 and ::1.
        port: 0 takes any free port, the same on every address.
        protocol: what clients speak on it; a WebSocket port answers plain HTTP with a refusal.
        label: what people call it in the start banner.
        app: the ASGI application; None where `iiiproject.asgi` supplies that of the room.
        handshake_timeout_ms: how long a client may take to send its request head.
    """

    room: str
    host: str | None
    port: int
    protocol: Literal["http", "websocket"]
    label: str
    app: ASGIApp | None = None
    handshake_timeout_ms: int = 10_000
