"""One worker socket of the load generator, and the loop that serves all of them.

Sockets are non-blocking and raw; what is written within one turn of the loop leaves in one system
call. No event loop library stands between: the generator must cost far less than the engine.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from tests.bench.frames import (
    BINARY_FRAME,
    TEXT_FRAME,
    Opcode,
    client_header,
    count_alike,
    next_frame,
    upgrade_request,
)


class Receiver(Protocol):
    """What takes the messages of a connection."""

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Take one message, which lies in the buffer during this call."""

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Take frames of one size with headers of one length, one behind the other."""


_READABLE: Final = select.EPOLLIN
_WRITABLE: Final = select.EPOLLOUT
_HEAD_END: Final = b"\r\n\r\n"
_GOODBYE: Final = client_header(2, Opcode.CLOSE) + b"\x03\xe8"
# The kernel takes at most this many pieces in one sendmsg (IOV_MAX).
_PIECES_PER_SEND: Final = 1024
_BUFFER_BYTES: Final = 16 * 1024
# Larger frames are handed over one by one where they lie, without a copy.
_RUN_FRAME_BYTES: Final = 16 * 1024


class ConnectionBroken(Exception):
    """Raised when the server refused or ended a connection of the generator."""


class Served(Protocol):
    """What a loop serves: a socket that is read, written and closed."""

    def read(self) -> None:
        """Receive once."""

    def flush(self) -> None:
        """Send as much as the socket takes."""

    def close(self) -> None:
        """Close the socket."""


class Loop:
    """An epoll loop over the connections of the generator."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._connections: dict[int, Served] = {}
        self._unsent: list[Served] = []

    def turn(self, timeout_s: float) -> None:
        """Serve what is ready, waiting for at most `timeout_s`, then send what was written.

        It does not wait at all if something was written since the last turn.
        """
        connections = self._connections
        for descriptor, events in self._poll.poll(0 if self._unsent else timeout_s):
            if events & ~_WRITABLE:
                connections[descriptor].read()
            if events & _WRITABLE:
                connections[descriptor].flush()
        unsent = self._unsent
        self._unsent = []
        for connection in unsent:
            connection.flush()

    def add(self, connection: Served, descriptor: int) -> None:
        """Start to serve a connection."""
        self._connections[descriptor] = connection
        self._poll.register(descriptor, _READABLE)

    def remove(self, descriptor: int) -> None:
        """Serve a connection no more."""
        self._poll.unregister(descriptor)
        del self._connections[descriptor]

    def wait_writable(self, descriptor: int, is_waiting: bool) -> None:
        """Choose whether a connection is told that its socket takes data again."""
        self._poll.modify(descriptor, _READABLE | (_WRITABLE if is_waiting else 0))

    def flush_later(self, connection: Served) -> None:
        """Send what a connection has written at the end of this turn."""
        self._unsent.append(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._poll.close()


class Connection:
    """A WebSocket client that hands each message to its receiver, inside its buffer.

    Args:
        receiver: gets every message, small ones in runs.
        path: where it connects to.
        is_binary: whether messages are binary ones; text otherwise.
        on_open: called once, when the server has accepted the connection.
        on_close: called when the server closes in good order; without it that is an error.
        buffer_bytes: initial size of the receive buffer; it grows to the largest frame.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        receiver: Receiver,
        *,
        path: str = "/",
        is_binary: bool = False,
        on_open: Callable[[], None] | None = None,
        on_close: Callable[[], None] | None = None,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        self.is_open = False
        self._message = BINARY_FRAME if is_binary else TEXT_FRAME
        self._on_close = on_close
        self._loop = loop
        self._receiver = receiver
        self._on_open = on_open
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._unsent: list[bytes | memoryview] = []
        self._is_blocked = False
        self._is_closing = False
        # A connect on loopback is over at once: the kernel accepts, the server only picks it up.
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._socket.send(upgrade_request(port, path))
        self._descriptor = self._socket.fileno()
        loop.add(self, self._descriptor)

    @property
    def unsent_pieces(self) -> int:
        """How many pieces wait for the socket."""
        return len(self._unsent)

    def send(self, pieces: Sequence[bytes]) -> None:
        """Write frames, or pieces of them; they leave at the end of the loop's turn."""
        if pieces and not self._unsent:
            self._loop.flush_later(self)
        self._unsent += pieces

    def read(self) -> None:
        """Receive once, and hand over every message that is whole."""
        received = self._socket.recv_into(self._view[self._end :])
        if received == 0 and self._is_closing:
            self._loop.remove(self._descriptor)
            self._socket.close()
            return
        if received == 0:
            raise ConnectionBroken("the server ended a connection without a close frame")
        self._end += received
        if self.is_open or self._read_handshake():
            self._read_frames()

    def flush(self) -> None:
        """Send as much as the socket takes, and ask to be called again for the rest."""
        unsent = self._unsent
        while unsent:
            try:
                if len(unsent) == 1:
                    sent = self._socket.send(unsent[0])
                else:
                    sent = self._socket.sendmsg(unsent[:_PIECES_PER_SEND])
            except BlockingIOError:
                break
            drop_sent(unsent, sent)
        if self._is_blocked is not bool(unsent):
            self._is_blocked = bool(unsent)
            self._loop.wait_writable(self._descriptor, self._is_blocked)

    def finish(self) -> None:
        """Close in good order behind what was written; the server ends the connection."""
        if not self._is_closing:
            self._is_closing = True
            self.send([_GOODBYE])

    def close(self) -> None:
        """Say goodbye as a worker does that shuts down, and close the socket."""
        with suppress(OSError):
            self._socket.send(_GOODBYE)
        self._socket.close()

    def _read_handshake(self) -> bool:
        head_end = self._buffer.find(_HEAD_END, 0, self._end)
        if head_end < 0:
            return False
        status_line = bytes(self._buffer[: self._buffer.index(b"\r\n")])
        if b" 101 " not in status_line:
            raise ConnectionBroken(f"the upgrade was answered {status_line.decode()!r}")
        self._start = head_end + len(_HEAD_END)
        self.is_open = True
        if self._on_open is not None:
            self._on_open()
        return True

    def _read_frames(self) -> None:
        buffer, start, end = self._buffer, self._start, self._end
        while frame := next_frame(buffer, start, end):
            first_byte, payload, frame_end = frame
            size = frame_end - start
            if first_byte != self._message:
                self._on_control(first_byte & 0x0F, bytes(buffer[payload:frame_end]))
            elif size > _RUN_FRAME_BYTES:
                self._receiver.receive(buffer, payload, frame_end)
            else:
                header = payload - start
                if frame_end + size <= end:
                    frame_end = start + size * count_alike(buffer, start, end, size, header)
                self._receiver.receive_run(bytes(self._view[start:frame_end]), size, header)
            start = frame_end
        self._start = start
        self._make_room()

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.PING:
            self.send([client_header(len(payload), Opcode.PONG) + payload])
        elif opcode == Opcode.CLOSE and (self._is_closing or self._on_close is not None):
            self.finish()
            if self._on_close is not None:
                self._on_close()
        elif opcode == Opcode.CLOSE:
            code = int.from_bytes(payload[:2], "big")
            reason = payload[2:].decode(errors="replace")
            raise ConnectionBroken(f"the server closed a connection: {code} {reason}".rstrip())
        elif opcode != Opcode.PONG:
            raise ConnectionBroken(f"a frame with opcode {opcode} came from the server")

    def _make_room(self) -> None:
        """Move what is left of a frame to the front, into a larger buffer if it needs one."""
        start, end = self._start, self._end
        if start == end:
            self._start = self._end = 0
        elif end == len(self._buffer):
            rest = self._buffer[start:end]
            if start == 0:
                self._buffer = bytearray(2 * end)
                self._view = memoryview(self._buffer)
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)


def drop_sent(pieces: list[bytes | memoryview], sent: int) -> None:
    """Remove the first `sent` bytes from a list of pieces."""
    done = 0
    for piece in pieces:
        if len(piece) > sent:
            break
        sent -= len(piece)
        done += 1
    del pieces[:done]
    if sent:
        pieces[0] = memoryview(pieces[0])[sent:]
