"""One end of a data channel on a plain socket: as fast, and as slow, as a test likes."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8

FRAME_SIZE: Final = 64 * 1024
LIMIT_S: Final = 30.0

_KEY: Final = base64.b64encode(b"sixteen bytes ok").decode()

# A mask of zeros is as good as any other, and costs nothing.
_MASK: Final = b"\0\0\0\0"


class Refused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with {status}")
        self.status = status


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + _MASK + payload


class RawChannel:
    """A connection to `/ws/channels/<id>`.

    Args:
        worker_url: of the worker port.
        ref: `{channel_id, access_key, direction}`.
        receive_buffer: bytes that the system keeps for a slow reader; 0 leaves it to the system.

    Raises:
        Refused: there is no such channel.
    """

    def __init__(self, worker_url: str, ref: dict[str, Any], receive_buffer: int = 0) -> None:
        self.close_code: int | None = None
        port = urlsplit(worker_url).port
        assert port is not None
        self.socket = socket.socket(socket.AF_INET)
        self.socket.settimeout(LIMIT_S)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        query = f"key={ref['access_key']}&dir={ref['direction']}"
        self.socket.sendall(
            f"GET /ws/channels/{ref['channel_id']}?{query} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\n\r\n".encode()
        )
        self._reader = self.socket.makefile("rb", buffering=4 * FRAME_SIZE)
        status = int(self._reader.readline().split()[1])
        while self._reader.readline() not in {b"\r\n", b""}:
            pass
        if status != 101:
            self.drop()
            raise Refused(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()

    def send(self, payload: bytes | str) -> None:
        """Write one message, of text or binary."""
        is_text = isinstance(payload, str)
        data = payload.encode() if isinstance(payload, str) else payload
        self.socket.sendall(frame(TEXT if is_text else BINARY, data))

    def send_frames(self, wire: bytes) -> None:
        """Write what `frame` has made."""
        self.socket.sendall(wire)

    def close(self, code: int = 1000) -> None:
        """Say that nothing more comes, and wait until the engine has understood."""
        self.socket.sendall(frame(CLOSE, struct.pack("!H", code)))
        for _ in self:
            pass

    def drop(self) -> None:
        """End the connection without a word."""
        self._reader.close()
        self.socket.close()

    def __iter__(self) -> Iterator[bytes | str]:
        """Read messages until the engine closes; `close_code` is set then, 1006 for no frame."""
        while (message := self.read()) is not None:
            yield message

    def read(self) -> bytes | str | None:
        """Read the next message; None at the end."""
        if self.close_code is not None:
            return None
        try:
            start = self._reader.read(2)
        except ConnectionError:
            start = b""
        if len(start) < 2:
            self.close_code = 1006
            return None
        opcode, size = start[0] & 0x0F, start[1]
        if size == 126:
            (size,) = struct.unpack("!H", self._reader.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._reader.read(8))
        payload: bytes = self._reader.read(size)
        if opcode == CLOSE:
            self.close_code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self._answer_close(payload)
            return None
        return payload.decode() if opcode == TEXT else payload

    def _answer_close(self, payload: bytes) -> None:
        try:
            self.socket.sendall(frame(CLOSE, payload[:2]))
        except OSError:
            return  # it was the answer to ours
