"""WebSocket frames of the load generator: built beforehand, and read without decoding JSON.

A client must mask its frames; a mask key of zero makes masking free for the sender and costs the
receiver what every mask costs it.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

ID_LENGTH: Final = 36
_MASK_BIT: Final = 0x80
_ZERO_KEY: Final = b"\0\0\0\0"
# Where the envelope of a frame is looked for before its payload is searched.
_ENVELOPE_BYTES: Final = 256


class Opcode(IntEnum):
    """Frame types that the generator tells apart."""

    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


# The first byte of a whole text frame, and of a binary one.
TEXT_FRAME: Final = 0x80 | Opcode.TEXT
BINARY_FRAME: Final = 0x80 | Opcode.BINARY


# A whole frame inside a buffer: its first byte, and where its payload begins and ends.
Frame = tuple[int, int, int]


class FrameError(Exception):
    """Raised when an answer is not what the generator can read: masked or fragmented."""


class Template(NamedTuple):
    """A masked text frame without its invocation id: `head + id + tail` is the frame."""

    head: bytes
    tail: bytes


def upgrade_request(port: int, path: str = "/") -> bytes:
    """Write the opening handshake of a worker, or of what connects to another path."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def client_header(length: int, opcode: Opcode = Opcode.TEXT) -> bytes:
    """Write the header of a whole masked frame with a payload of `length` bytes."""
    first = 0x80 | opcode
    if length < 126:
        return bytes((first, _MASK_BIT | length)) + _ZERO_KEY
    if length < 1 << 16:
        return struct.pack("!BBH", first, _MASK_BIT | 126, length) + _ZERO_KEY
    return struct.pack("!BBQ", first, _MASK_BIT | 127, length) + _ZERO_KEY


def message_frame(message: object) -> bytes:
    """Write one message that is sent once, such as a registration."""
    text = orjson.dumps(message)
    return client_header(len(text)) + text


def call_template(function_id: str, data: bytes, *, type_last: bool = False) -> Template:
    """Build the `invokefunction` frame of a function and a payload.

    Args:
        type_last: order the keys as the Python SDK does, `type` at the end and the payload
            before the id; else as the Node SDK does, `type` first.
    """
    name = function_id.encode()
    if type_last:
        head = b'{"function_id":"' + name + b'","data":' + data + b',"invocation_id":"'
        return _template(head, b'","type":"invokefunction"}')
    head = b'{"type":"invokefunction","invocation_id":"'
    return _template(head, b'","function_id":"' + name + b'","data":' + data + b"}")


def result_template(function_id: bytes, result: bytes, *, type_last: bool = False) -> Template:
    """Build the `invocationresult` frame with which a worker answers."""
    middle = b'","function_id":"' + function_id + b'","result":' + result
    if type_last:
        return _template(b'{"invocation_id":"', middle + b',"type":"invocationresult"}')
    return _template(b'{"type":"invocationresult","invocation_id":"', middle + b"}")


def _template(head: bytes, tail: bytes) -> Template:
    return Template(client_header(len(head) + ID_LENGTH + len(tail)) + head, tail)


def invocation_id(number: int) -> bytes:
    """Return the id of the call with this number: a UUID that is never used again in a run."""
    return b"00000000-0000-4000-8000-%012x" % number


def next_frame(buffer: bytearray, start: int, end: int) -> Frame | None:
    """Find the frame that begins at `start`, or None while some of it is missing.

    Raises:
        FrameError: the frame is masked or a fragment, which the engine sends to nobody.
    """
    if end - start < 2:
        return None
    first = buffer[start]
    length = buffer[start + 1]
    start += 2
    if length >= 126:
        if length == 126:
            payload = start + 2
        elif length == 127:
            payload = start + 8
        else:
            raise FrameError("a masked frame came from the server")
        if end < payload:
            return None
        length = int.from_bytes(buffer[start:payload], "big")
        start = payload
    if not first & 0x80:
        raise FrameError("a fragmented frame came from the server")
    if end < start + length:
        return None
    return first, start, start + length


def count_alike(buffer: bytearray, start: int, end: int, size: int, header: int) -> int:
    """Count the whole frames from `start` on whose headers equal that of the first one.

    Args:
        size: length of the first frame with its header, which is `header` bytes long.
    """
    count = (end - start) // size
    if count == 1:
        return 1
    stop = start + count * size
    for position in range(start, start + header):
        column = buffer[position:stop:size]
        if column.count(column[0]) != count:
            first = column[:1]
            alike = len(column) - len(column.lstrip(first))
            count = min(count, alike)
            stop = start + count * size
    return count


def find_invocation_id(buffer: bytes | bytearray, start: int, end: int) -> int:
    """Return where the invocation id of a message begins, or -1 if it has none.

    The envelope is searched at both ends first: the payload may stand before the id and be large.
    """
    key = b'"invocation_id":"'
    found = buffer.find(key, start, min(end, start + _ENVELOPE_BYTES))
    if found < 0 and end - start > _ENVELOPE_BYTES:
        found = buffer.rfind(key, max(start, end - _ENVELOPE_BYTES), end)
        if found < 0:
            found = buffer.find(key, start, end)
    return found + len(key) if found >= 0 else -1


def find_value(buffer: bytes | bytearray, key: bytes, start: int, end: int) -> int:
    """Return where the value of a quoted key with its colon begins, or -1 if it is absent."""
    found = buffer.find(key, start, min(end, start + _ENVELOPE_BYTES))
    if found < 0:
        found = buffer.find(key, start, end)
    return found + len(key) if found >= 0 else -1
