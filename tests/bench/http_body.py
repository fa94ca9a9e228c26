"""One HTTP request of the load generator with a large body, either way, which nobody keeps."""

from __future__ import annotations

import socket
from enum import Enum, auto
from typing import Final

from tests.bench.connection import ConnectionBroken, Loop

_BUFFER_BYTES: Final = 1 << 20
_HEAD_END: Final = b"\r\n\r\n"
_LINE_END: Final = b"\r\n"
_HEAD_LIMIT: Final = 64 * 1024
_KEPT_BYTES: Final = 1024
# Whoever takes everything must not keep the loop from those who read.
_SENDS_PER_FLUSH: Final = 8


class _State(Enum):
    HEAD = auto()
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    OVER = auto()


class BodyCounter:
    """Reads one answer as its pieces come, and counts the body without keeping it.

    Attributes:
        status: of the answer; 0 as long as its head is not there.
        received: bytes of the body so far.
        beginning: the first of them.
        is_over: whether the body is whole.
    """

    def __init__(self) -> None:
        self.status = 0
        self.received = 0
        self.beginning = b""
        self._state = _State.HEAD
        self._is_chunked = False
        self._left = 0
        self._line = bytearray()

    @property
    def is_over(self) -> bool:
        """Whether the body is whole."""
        return self._state is _State.OVER

    def feed(self, data: memoryview) -> None:
        """Take the next bytes.

        Raises:
            ConnectionBroken: they are no answer that it can read.
        """
        at = 0
        while at < len(data) and self._state is not _State.OVER:
            if self._state is _State.DATA:
                at += self._take(data[at : at + self._left])
            else:
                at += self._take_line(data[at:])

    def _take(self, data: memoryview) -> int:
        if len(self.beginning) < _KEPT_BYTES:
            self.beginning += bytes(data[: _KEPT_BYTES - len(self.beginning)])
        self.received += len(data)
        self._left -= len(data)
        if not self._left:
            self._state = _State.DATA_END if self._is_chunked else _State.OVER
        return len(data)

    def _take_line(self, data: memoryview) -> int:
        """Take up to the end of a line, or of the head."""
        end = _HEAD_END if self._state is _State.HEAD else _LINE_END
        before = len(self._line)
        self._line += data[:_HEAD_LIMIT]
        found = self._line.find(end)
        if found < 0:
            if len(self._line) > _HEAD_LIMIT:
                raise ConnectionBroken("an answer has a line or a head without an end")
            return len(data[:_HEAD_LIMIT])
        line = bytes(self._line[:found])
        self._line.clear()
        self._on_line(line)
        return found + len(end) - before

    def _on_line(self, line: bytes) -> None:
        if self._state is _State.HEAD:
            self._on_head(line)
        elif self._state is _State.SIZE:
            self._left = int(line.partition(b";")[0], 16)
            self._state = _State.DATA if self._left else _State.TRAILER
        elif self._state is _State.DATA_END:
            self._state = _State.SIZE
        elif not line:  # the last of the trailers
            self._state = _State.OVER

    def _on_head(self, head: bytes) -> None:
        status_line, *lines = head.split(_LINE_END)
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        self.status = int(status_line.split(b" ")[1])
        self._is_chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
        self._left = int(fields.get(b"content-length", b"0"))
        if self._is_chunked:
            self._state = _State.SIZE
        else:
            self._state = _State.DATA if self._left else _State.OVER


class HttpExchange:
    """One request on a connection of its own, and the answer to it.

    Args:
        head: of the request, with the empty line.
        piece: of the body, sent again and again.
        size: of the whole body; a multiple of the piece, or 0.
    """

    def __init__(
        self, loop: Loop, port: int, head: bytes, piece: bytes = b"", size: int = 0
    ) -> None:
        self.answer = BodyCounter()
        self._loop = loop
        self._piece = piece
        self._pieces = size // len(piece) if size else 0
        self._unsent: list[memoryview] = [memoryview(head)]
        self._view = memoryview(bytearray(_BUFFER_BYTES))
        self._is_blocked = False
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._descriptor = self._socket.fileno()
        loop.add(self, self._descriptor)
        loop.flush_later(self)

    def read(self) -> None:
        """Receive once."""
        received = self._socket.recv_into(self._view)
        if received == 0:
            self._loop.remove(self._descriptor)
            self._socket.close()
            if not self.answer.is_over:
                raise ConnectionBroken("the HTTP connection ended before the answer did")
            return
        self.answer.feed(self._view[:received])

    def flush(self) -> None:
        """Send as much as the socket takes, and ask to be called again for the rest."""
        try:
            for _ in range(_SENDS_PER_FLUSH):
                if not self._unsent and not self._pieces:
                    break
                if not self._unsent:
                    self._pieces -= 1
                    self._unsent.append(memoryview(self._piece))
                sent = self._socket.send(self._unsent[0])
                self._unsent[0] = self._unsent[0][sent:]
                if not self._unsent[0]:
                    self._unsent.clear()
        except BlockingIOError:
            pass
        is_blocked = bool(self._unsent or self._pieces)
        if is_blocked is not self._is_blocked:
            self._is_blocked = is_blocked
            self._loop.wait_writable(self._descriptor, is_blocked)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
