"""Entries and the changes that can be made to one: pure functions of the entry that is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from engine.core.errors import EngineError
from kv.update_ops import Op, OpError, apply_ops

NO_VERSION: Final = 0
"""The version of a key without an entry."""


class VersionConflict(EngineError):
    """An entry is not of the version that a change was made for; nothing was changed.

    The message is JSON, for programs: `{"expected", "actual", "hint"}`.

    Attributes:
        expected: the version that the caller named; 0: there should be none.
        actual: the version that there is; 0: there is none.
    """

    code = "version_conflict"

    def __init__(self, expected: int, actual: int) -> None:
        hint = "read it again with with_version" if actual else "there is no entry of this key"
        detail = {"expected": expected, "actual": actual, "hint": hint}
        super().__init__(msgspec.json.encode(detail).decode())
        self.expected = expected
        self.actual = actual


class ValueTooLarge(EngineError):
    """A value is larger than the store's `max_value_bytes`; nothing was changed."""

    code = "VALUE_TOO_LARGE"


@mypyc_attr(acyclic=True)
class Entry:
    """A stored value; a changed one is another object.

    Attributes:
        value: JSON text as it was sent.
        version: a number that no other state of any entry of the store ever has.
        expires_at: Unix milliseconds from which on it is gone; None for never.
        position: of the row that it is in, where a store wants to know it; 0 for none yet.
    """

    __slots__ = ("expires_at", "position", "value", "version")

    def __init__(
        self, value: bytes, version: int, expires_at: int | None = None, position: int = 0
    ) -> None:
        self.value = value
        self.version = version
        self.expires_at = expires_at
        self.position = position

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and (self.value, self.version, self.expires_at) == (
            other.value,
            other.version,
            other.expires_at,
        )

    def __hash__(self) -> int:
        return hash((self.value, self.version, self.expires_at))

    def is_live(self, now_ms: int) -> bool:
        """Tell whether it has not expired."""
        return self.expires_at is None or self.expires_at > now_ms


@mypyc_attr(acyclic=True)
class Item:
    """One entry of a listing: the last name of its key, and its place in the order of insertion."""

    __slots__ = ("name", "position", "value")

    def __init__(self, position: int, name: str, value: bytes) -> None:
        self.position = position
        self.name = name
        self.value = value


@mypyc_attr(acyclic=True)
class Changed:
    """What a change came to.

    Attributes:
        old: the entry before; None if there was none, or an expired one.
        new: the entry after; None if there is none.
        errors: of the update operations that were left out.
    """

    __slots__ = ("errors", "new", "old")

    def __init__(
        self, old: Entry | None, new: Entry | None, errors: Sequence[OpError] = ()
    ) -> None:
        self.old = old
        self.new = new
        self.errors = errors


class Change(ABC):
    """What is to be done with one entry.

    Attributes:
        size: bytes that it keeps while it waits.
        if_version: the version that it was made for; None for any, 0 for no entry.
    """

    __slots__ = ("if_version", "size")

    def __init__(self, size: int, if_version: int | None) -> None:
        self.size = size
        self.if_version = if_version

    @abstractmethod
    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return what comes of it.

        Args:
            old: the entry that is there, unexpired.
            now_ms: Unix milliseconds.
            version: for the new entry.

        Raises:
            VersionConflict: it was made for another version.
        """


class SetValue(Change):
    """Put a value, whatever is there; without a time to live it stays."""

    __slots__ = ("ttl_ms", "value")

    def __init__(
        self, value: bytes, ttl_ms: int | None = None, if_version: int | None = None
    ) -> None:
        super().__init__(len(value), if_version)
        self.value = value
        self.ttl_ms = ttl_ms

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return the new entry."""
        check_version(self.if_version, old)
        expires_at = None if self.ttl_ms is None else now_ms + self.ttl_ms
        return Changed(old, Entry(self.value, version, expires_at))


class DeleteEntry(Change):
    """Delete what is there."""

    __slots__ = ()

    def __init__(self, if_version: int | None = None) -> None:
        super().__init__(0, if_version)

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return no entry."""
        check_version(self.if_version, old)
        return Changed(old, None)


class UpdateValue(Change):
    """Apply update operations; the entry keeps its time to live unless another is given."""

    __slots__ = ("max_bytes", "ops", "ttl_ms")

    def __init__(
        self,
        ops: tuple[Op, ...],
        size: int = 0,
        ttl_ms: int | None = None,
        if_version: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        super().__init__(size, if_version)
        self.ops = ops
        self.ttl_ms = ttl_ms
        self.max_bytes = max_bytes

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return the changed entry and the errors of the operations left out."""
        check_version(self.if_version, old)
        value, errors = apply_ops(None if old is None else old.value, self.ops)
        check_size(len(value), self.max_bytes)
        if self.ttl_ms is not None:
            expires_at: int | None = now_ms + self.ttl_ms
        else:
            expires_at = None if old is None else old.expires_at
        return Changed(old, Entry(value, version, expires_at), errors)


def check_size(size: int, limit: int | None) -> None:
    """Refuse a value that is too large.

    Raises:
        ValueTooLarge: it has more bytes than the limit; None is no limit.
    """
    if limit is not None and size > limit:
        raise ValueTooLarge(f"the value has {size} bytes; max_value_bytes allows {limit}")


def check_version(expected: int | None, old: Entry | None) -> None:
    """Refuse a change that was made for another version.

    Raises:
        VersionConflict: the entry's version is another one.
    """
    actual = NO_VERSION if old is None else old.version
    if expected is not None and expected != actual:
        raise VersionConflict(expected, actual)
