"""A WebSocket client that writes any bytes it likes and reads frames as they are."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

KEY: Final = base64.b64encode(b"sixteen bytes ok").decode()
ACCEPT: Final = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()

LIMIT_S: Final = 15.0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x11\x22\x33\x44",
) -> bytes:
    """Return a client's frame; `mask=None` leaves it unmasked, which no server may take."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0 if mask is None else 0x80
    size = len(payload)
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return `payload` under a mask."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Return the payload of a close frame."""
    return struct.pack("!H", code) + reason


@dataclass(frozen=True)
class Frame:
    """A frame as the server sent it."""

    opcode: int
    payload: bytes
    fin: bool = True


@dataclass(frozen=True)
class Answer:
    """A server's HTTP answer, header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """A connection to a server, from its TCP side up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, port: int, host: str = "127.0.0.1", receive_buffer: int = 0) -> Peer:
        """Connect without a handshake; `receive_buffer` bytes make a slow reader."""
        connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        connection.setblocking(False)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(connection, (host, port))
        except OSError:
            connection.close()
            raise
        return cls(*await asyncio.open_connection(sock=connection))

    @classmethod
    async def connect(
        cls,
        port: int,
        path: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        *,
        receive_buffer: int = 0,
    ) -> Peer:
        """Connect and complete the handshake."""
        peer = await cls.dial(port, receive_buffer=receive_buffer)
        answer = await peer.upgrade(path, headers)
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        return peer

    async def upgrade(self, path: str = "/", headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """Send a handshake and return the answer."""
        self.write(upgrade_request(path, headers))
        return await self.read_answer()

    def write(self, *pieces: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(b"".join(pieces))

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send a message in one frame."""
        self.write(frame(opcode, payload))

    def close(self, code: int, reason: bytes = b"") -> None:
        """Send a close frame."""
        self.write(frame(CLOSE, close_payload(code, reason)))

    async def read_answer(self) -> Answer:
        """Return an HTTP answer; its body is read to its length or the end."""
        async with asyncio.timeout(LIMIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.strip().split("\r\n")
            pairs = (line.split(":", 1) for line in lines)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            status = int(status_line.split()[1])
            body = b""
            if status != 101:
                body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(status, headers, body)

    async def read_frame(self) -> Frame:
        """Return the next frame."""
        async with asyncio.timeout(LIMIT_S):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            assert not second & 0x80, "a server does not mask"
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(size)
        assert not first & 0x70, "no extension is in use"
        return Frame(first & 0x0F, payload, bool(first & 0x80))

    async def read_text(self) -> bytes:
        """Return the payload of the next frame, which is a text message."""
        received = await self.read_frame()
        assert received.opcode == TEXT, received
        return received.payload

    async def read_close(self) -> int | None:
        """Return the code of the next frame, which is a close frame; None without a code."""
        received = await self.read_frame()
        assert received.opcode == CLOSE, received
        return struct.unpack("!H", received.payload[:2])[0] if received.payload else None

    async def read_until_close(self) -> int | None:
        """Return the code of the close frame, whatever comes before it."""
        while (received := await self.read_frame()).opcode != CLOSE:
            pass
        return struct.unpack("!H", received.payload[:2])[0] if received.payload else None

    async def read_end(self) -> None:
        """Return when the server has ended the connection and sent nothing before."""
        async with asyncio.timeout(LIMIT_S):
            try:
                rest = await self.reader.read()
            except ConnectionError:
                return
        assert rest == b"", rest

    def half_close(self) -> None:
        """Say that nothing more is written, and go on reading."""
        self.writer.write_eof()

    def abort(self) -> None:
        """Drop the connection."""
        self.writer.transport.abort()


def upgrade_request(path: str = "/", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a request for an upgrade; `headers` replace those of the same name."""
    wanted = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    wanted.update(headers)
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
