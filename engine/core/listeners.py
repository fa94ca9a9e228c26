"""What a module says about a port that it wants: one frozen value for each listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

EXCHANGE: Final = "iii.exchange"
"""The ASGI extension of servers that take a whole response at once: an `Exchange` in the scope."""


class Exchange(Protocol):
    """One HTTP request and its response, without a message for each part of them."""

    @property
    def is_open(self) -> bool:
        """Whether the client can still get something."""

    def whole_body(self) -> bytes | None:
        """Return the request's body if all of it has come, else None."""

    def begin_to_wait(self) -> None:
        """Let `receive` wait from now on, for an application that was TAKEN."""

    def abort(self) -> None:
        """End the connection in the middle of the response: it is not what was promised."""

    def respond(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        more_headers: bytes = b"",
    ) -> Awaitable[None] | None:
        """Send the response in one write, instead of through `send`.

        Args:
            status: 100 to 999.
            headers: valid ones, names in lower case; `content-length` among them unless the
                response has no body by its status.
            body: empty for HEAD.
            more_headers: those that many responses have in common, as they go on the wire: each
                line ends with CRLF, none is `connection`.

        Returns:
            What to wait for if the client must take earlier responses first, else None.
        """


class _Taken:
    """An awaitable that is over."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


TAKEN: Final[Awaitable[None]] = _Taken()
"""What an application returns that will respond through the exchange: no task is needed."""


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
        other_port: what to do for another port, for the error when this one is taken.
    """

    room: str
    host: str | None
    port: int
    protocol: Literal["http", "websocket"]
    label: str
    app: ASGIApp | None = None
    handshake_timeout_ms: int = 10_000
    other_port: str = ""
