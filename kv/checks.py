"""What may be in the payloads of state, KV and streams."""

from __future__ import annotations

from typing import Final

from engine.core.functions import Call
from engine.core.payloads import bad

MAX_NAME_BYTES: Final = 1024
"""Of a scope, index or key: PostgreSQL's index takes no more than 2,704 bytes for both."""

MAX_PAGE: Final = 10_000
DEFAULT_PAGE: Final = 1_000


def checked_name(call: Call, member: str, value: str | None) -> str:
    """Return a scope, index or key that can be stored.

    Raises:
        DeserializationError: it is missing, too long, or holds a NUL character.
    """
    if value is None:
        raise bad(call, f"Object missing required field `{member}`")
    if "\0" in value:
        raise bad(call, f"`{member}` must not hold the NUL character")
    if len(value) > MAX_NAME_BYTES // 4 and len(value.encode()) > MAX_NAME_BYTES:
        raise bad(call, f"`{member}` is longer than {MAX_NAME_BYTES} bytes")
    return value


def checked_ttl(call: Call, ttl_ms: int | None) -> int | None:
    """Return a time to live that is one.

    Raises:
        DeserializationError: it is not positive, or beyond what a date can say.
    """
    if ttl_ms is not None and not 0 < ttl_ms < 2**48:
        raise bad(call, "`ttl_ms` must be a positive number of milliseconds")
    return ttl_ms


def checked_version(call: Call, version: int | None) -> int | None:
    """Return a version that can be expected.

    Raises:
        DeserializationError: it is negative.
    """
    if version is not None and version < 0:
        raise bad(call, "`if_version` must not be negative; 0 means that there is no entry")
    return version


def checked_limit(call: Call, limit: int | None) -> int:
    """Return how many entries a page may have.

    Raises:
        DeserializationError: it is not positive, or too large.
    """
    if limit is None:
        return DEFAULT_PAGE
    if not 0 < limit <= MAX_PAGE:
        raise bad(call, f"`limit` must be from 1 to {MAX_PAGE}")
    return limit


def checked_cursor(call: Call, cursor: str | None) -> int:
    """Return the position behind which a page begins.

    Raises:
        DeserializationError: it is not a cursor that a page has ended with.
    """
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20):
        raise bad(call, "`cursor` is not one that an earlier page has ended with")
    return int(cursor)
