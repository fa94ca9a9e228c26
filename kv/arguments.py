"""What the functions of state and KV are called with: shapes, spellings, limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from engine.core.errors import DeserializationError
from engine.core.functions import Call
from engine.core.payloads import read_payload

T = TypeVar("T", bound=msgspec.Struct)

NOTHING: Final = msgspec.Raw(b"")

MAX_NAME_BYTES: Final = 1024
"""Of a scope, index or key: PostgreSQL's index takes no more than 2,704 bytes for both."""

MAX_PAGE: Final = 10_000
DEFAULT_PAGE: Final = 1_000


class Place(msgspec.Struct, gc=False):
    """Where an entry is, in every spelling.

    State says `scope` and `key`, or, in its first days, `group_id` and `item_id`; the KV server
    says `index` and `key`.
    """

    scope: str | None = None
    key: str | None = None
    index: str | None = None
    group_id: str | None = None
    item_id: str | None = None


class GetArguments(Place, gc=False):
    """`{scope, key, with_version?}`."""

    with_version: bool = False


class SetArguments(Place, gc=False):
    """`{scope, key, value, ttl_ms?, if_version?, with_version?}`; `data` is `value`, too."""

    value: msgspec.Raw = NOTHING
    data: msgspec.Raw = NOTHING
    ttl_ms: int | None = None
    if_version: int | None = None
    with_version: bool = False


class DeleteArguments(Place, gc=False):
    """`{scope, key, if_version?, with_version?}`."""

    if_version: int | None = None
    with_version: bool = False


class UpdateArguments(Place, gc=False):
    """`{scope, key, ops, ttl_ms?, if_version?, with_version?}`."""

    ops: msgspec.Raw = NOTHING
    ttl_ms: int | None = None
    if_version: int | None = None
    with_version: bool = False


class ListArguments(msgspec.Struct, gc=False):
    """`{scope, prefix?, limit?, cursor?}`."""

    scope: str | None = None
    index: str | None = None
    group_id: str | None = None
    prefix: str | None = None
    limit: int | None = None
    cursor: str | None = None

    @property
    def is_paged(self) -> bool:
        """Whether the answer is a page with keys instead of the bare values."""
        return self.prefix is not None or self.limit is not None or self.cursor is not None


class PrefixArguments(msgspec.Struct, gc=False):
    """`{prefix, index?}`."""

    prefix: str
    index: str | None = None


def reader(shape: type[T]) -> Callable[[Call], T]:
    """Return a function that reads the payload of a call, see `read_payload`, with less ado."""
    decode = msgspec.json.Decoder(shape).decode

    def read(call: Call) -> T:
        try:
            return decode(call.data)
        except (msgspec.DecodeError, RecursionError):
            return read_payload(call, shape)

    return read


def bad(call: Call, problem: str) -> DeserializationError:
    """Return the error of a payload that says something impossible."""
    return DeserializationError(f"{call.function_id}: {problem}")


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
