"""Entries and the changes that can be made to one: pure functions of the entry that is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

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


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A stored value.

    Attributes:
        value: JSON text as it was sent.
        version: a number that no other state of any entry of the store ever has.
        expires_at: Unix milliseconds from which on it is gone; None for never.
    """

    value: bytes
    version: int
    expires_at: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Tell whether it has not expired."""
        return self.expires_at is None or self.expires_at > now_ms


class Changed(msgspec.Struct, frozen=True, gc=False):
    """What a change came to.

    Attributes:
        old: the entry before; None if there was none, or an expired one.
        new: the entry after; None if there is none.
        errors: of the update operations that were left out.
    """

    old: Entry | None
    new: Entry | None
    errors: Sequence[OpError] = ()


class Change(Protocol):
    """What is to be done with one entry."""

    @property
    def size(self) -> int:
        """Bytes that it keeps while it waits."""

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return what comes of it.

        Args:
            old: the entry that is there, unexpired.
            now_ms: Unix milliseconds.
            version: for the new entry.

        Raises:
            VersionConflict: it was made for another version.
        """


class SetValue(msgspec.Struct, frozen=True, gc=False):
    """Put a value, whatever is there; without a time to live it stays."""

    value: bytes
    ttl_ms: int | None = None
    if_version: int | None = None

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return len(self.value)

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return the new entry."""
        check_version(self.if_version, old)
        expires_at = None if self.ttl_ms is None else now_ms + self.ttl_ms
        return Changed(old, Entry(self.value, version, expires_at))


class DeleteEntry(msgspec.Struct, frozen=True, gc=False):
    """Delete what is there."""

    if_version: int | None = None
    size = 0

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        """Return no entry."""
        check_version(self.if_version, old)
        return Changed(old, None)


class UpdateValue(msgspec.Struct, frozen=True, gc=False):
    """Apply update operations; the entry keeps its time to live unless another is given."""

    ops: tuple[Op, ...]
    waiting_bytes: int = 0
    ttl_ms: int | None = None
    if_version: int | None = None
    max_bytes: int | None = None

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self.waiting_bytes

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
