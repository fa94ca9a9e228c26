"""picows' parser on its own: made, fed and replaced by us, silent, with a transport of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, Protocol

from multidict import CIMultiDict
from picows import WSAutoPingStrategy, WSListener, WSUpgradeRequest, WSUpgradeResponse, picows
from picows.common import WSUpgradeResponseWithListener

MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024

READ_BUFFER_SIZE: Final = 4 * 1024
"""What an idle socket holds; it doubles whenever nine tenths are filled by one read."""

_RESTART: Final = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

_ACCEPTED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
)

ListenerFactory = Callable[[WSUpgradeRequest], "WSListener | WSUpgradeResponseWithListener | None"]


class Parser(Protocol):
    """What is used of picows' protocol class, which its stubs leave out."""

    def connection_made(self, transport: Any) -> None:
        """Start with a transport."""

    def get_buffer(self, size_hint: int) -> memoryview:
        """Return the free part of the read buffer."""

    def buffer_updated(self, nbytes: int) -> None:
        """Handle so many new bytes in the read buffer."""


class _SilentLogger(logging.LoggerAdapter[logging.Logger]):
    """Drops everything: picows logs lines for each connection and for each peer's mistake.

    An adapter also keeps picows from making a logger for each connection.
    """

    def isEnabledFor(self, level: int) -> bool:
        return False


_silent: Final = _SilentLogger(logging.getLogger("picows.server"), {})


class ParserOwner(Protocol):
    """Whoever decides what becomes of the things that picows does by itself."""

    def parser_wrote(self, data: bytes) -> None:
        """Handle picows' answer to the handshake, or its close frame after a peer's mistake."""

    def parser_closed(self) -> None:
        """Handle picows' wish to end the connection."""


class _UntouchedSocket:
    """The socket as picows' parser sees it.

    What picows would set, the transport has set already; what picows asks, it wants for a line of
    its log. Together it is a dozen system calls for each connection.
    """

    def fileno(self) -> int:
        """Return no descriptor: the parser does not write."""
        return -1

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Leave it as it is."""

    def getsockopt(self, level: int, option: int) -> int:
        """Return anything: it is not logged."""
        return 0


_UNTOUCHED: Final = _UntouchedSocket()


class ParserTransport:
    """The transport as picows' parser sees it: nothing that picows does reaches the network.

    picows would write to the descriptor past our queue; a write buffer that is never empty
    keeps it from doing so.
    """

    __slots__ = ("_owner", "is_muted")

    def __init__(self, owner: ParserOwner) -> None:
        self._owner = owner
        self.is_muted = False

    def write(self, data: bytes) -> None:
        """Pass on what picows wants to send."""
        if not self.is_muted:
            self._owner.parser_wrote(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return a size that keeps picows from the descriptor."""
        return 1

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what picows needs to know of the connection: next to nothing."""
        return _UNTOUCHED if name == "socket" else default

    def close(self) -> None:
        """Pass on the wish to end the connection."""
        self._owner.parser_closed()

    def abort(self) -> None:
        """Pass on the wish to end the connection."""
        self._owner.parser_closed()


class Acceptance(WSUpgradeResponse):
    """The answer that turns a connection into a WebSocket, put together in one go."""

    __slots__ = ()

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self.version = b"HTTP/1.1"
        self.status = HTTPStatus.SWITCHING_PROTOCOLS
        self.headers = CIMultiDict(headers)
        self.body = None

    def to_bytes(self) -> bytearray:
        """Write it with the accept key that picows has added."""
        fields = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        return bytearray(_ACCEPTED + fields.encode() + b"\r\n")


def new_parser(factory: ListenerFactory, transport: ParserTransport) -> Parser:
    """Return a parser that waits for a request head; pings are answered by the listener."""
    parser: Parser = picows.WSProtocol(  # type: ignore[attr-defined]
        None,
        None,
        False,
        factory,
        _silent,
        True,
        None,
        False,
        20,
        20,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,
        MAX_MESSAGE_SIZE,
        None,
        READ_BUFFER_SIZE,
    )
    parser.connection_made(transport)
    return parser


def restarted_parser(listener: WSListener, transport: ParserTransport) -> Parser:
    """Return a parser that is past its handshake already and has a small buffer."""
    transport.is_muted = True
    parser = new_parser(lambda request: listener, transport)
    parser.get_buffer(0)[: len(_RESTART)] = _RESTART
    parser.buffer_updated(len(_RESTART))
    transport.is_muted = False
    return parser
