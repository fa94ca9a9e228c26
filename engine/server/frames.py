"""WebSocket frames as bytes of the wire, as a server writes them: unmasked, never fragmented."""

from __future__ import annotations

from struct import Struct
from typing import Final

TEXT: Final = 0x81
BINARY: Final = 0x82
CLOSE: Final = 0x88
PONG: Final = 0x8A

KEPT_APART: Final = 32 * 1024
"""From this size on a payload is not copied behind its header; both are written as they are."""

medium_header: Final = Struct("!BBH").pack
"""Pack first byte, 126 and a size of 126 to 65535."""

_LONG_HEADER: Final = Struct("!BBQ").pack
_CLOSE_CODE: Final = Struct("!H")

SHORT_TEXT_HEADERS: Final = tuple(bytes((TEXT, size)) for size in range(126))

_NEVER_SENT: Final = frozenset({1004, 1005, 1006})
_MAX_REASON: Final = 123


class Uncounted(bytes):
    """Bytes in an outbox that are not a message: a header kept apart, a control frame."""

    __slots__ = ()


def header(first_byte: int, size: int) -> bytes:
    """Return the header of a frame with `size` bytes of payload."""
    if size < 126:
        return bytes((first_byte, size))
    if size < 65536:
        return medium_header(first_byte, 126, size)
    return _LONG_HEADER(first_byte, 127, size)


def pong_frame(payload: bytes) -> Uncounted:
    """Return the answer to a ping."""
    return Uncounted(header(PONG, len(payload)) + payload)


def close_frame(code: int | None, reason: str = "") -> Uncounted:
    """Return a close frame; without a code it is empty and the peer sees 1005."""
    payload = b"" if code is None else _CLOSE_CODE.pack(code) + clip_reason(reason).encode()
    return Uncounted(header(CLOSE, len(payload)) + payload)


def read_close(payload: bytes) -> tuple[int | None, str]:
    """Return code and reason of a close frame's payload, None for an empty one.

    Raises:
        ValueError: one byte alone, or a code that must not travel.
        UnicodeDecodeError: a reason that is not UTF-8.
    """
    if not payload:
        return None, ""
    if len(payload) == 1:
        raise ValueError("a close frame with half a code")
    code: int = _CLOSE_CODE.unpack_from(payload)[0]
    check_close_code(code)
    return code, payload[2:].decode()


def check_close_code(code: int) -> None:
    """Refuse a close code that must not be on the wire (RFC 6455, 7.4, and its registry).

    Raises:
        ValueError: the code is reserved or out of range.
    """
    if (1000 <= code <= 1014 and code not in _NEVER_SENT) or 3000 <= code <= 4999:
        return
    raise ValueError(f"{code} is not a close code that may be sent")


def clip_reason(reason: str) -> str:
    """Shorten a reason to what fits into a close frame, at a character's border."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
