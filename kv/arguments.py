"""What the functions of state and KV are called with, in every spelling."""

from __future__ import annotations

from typing import Final

import msgspec

NOTHING: Final = msgspec.Raw(b"")


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
