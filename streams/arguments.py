"""What the stream functions are called with."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.core.functions import Call
from engine.core.payloads import reader
from kv.addresses import Addressing
from kv.arguments import NOTHING
from kv.checks import checked_name
from kv.stores.base import Group, Key


class GroupPlace(msgspec.Struct, gc=False):
    """Which group is meant."""

    stream_name: str | None = None
    group_id: str | None = None


class ItemPlace(GroupPlace, gc=False):
    """Which item is meant."""

    item_id: str | None = None


class GetArguments(ItemPlace, gc=False):
    """`{stream_name, group_id, item_id, with_version?}`."""

    with_version: bool = False


class SetArguments(ItemPlace, gc=False):
    """`{stream_name, group_id, item_id, data, ttl_ms?, …}`; `value` is `data`, too."""

    data: msgspec.Raw = NOTHING
    value: msgspec.Raw = NOTHING
    ttl_ms: int | None = None
    if_version: int | None = None
    with_version: bool = False


class DeleteArguments(ItemPlace, gc=False):
    """`{stream_name, group_id, item_id, if_version?, with_version?}`."""

    if_version: int | None = None
    with_version: bool = False


class UpdateArguments(ItemPlace, gc=False):
    """`{stream_name, group_id, item_id, ops, ttl_ms?, if_version?, with_version?}`."""

    ops: msgspec.Raw = NOTHING
    ttl_ms: int | None = None
    if_version: int | None = None
    with_version: bool = False


class ListArguments(GroupPlace, gc=False):
    """`{stream_name, group_id, prefix?, limit?, cursor?}`."""

    prefix: str | None = None
    limit: int | None = None
    cursor: str | None = None

    @property
    def is_paged(self) -> bool:
        """Whether the answer is a page with item ids instead of the bare values."""
        return self.prefix is not None or self.limit is not None or self.cursor is not None


class SendArguments(msgspec.Struct, gc=False):
    """`{stream_name, group_id, type, data, id?}`."""

    stream_name: str | None = None
    group_id: str | None = None
    type: str | None = None
    data: msgspec.Raw = NOTHING
    id: str | None = None


class SubscribersArguments(GroupPlace, gc=False):
    """`{stream_name?, group_id?, limit?}`."""

    limit: int | None = None


class _ItemAddressing(Addressing):
    """Streams say `stream_name`, `group_id` and `item_id`."""

    columns = ("stream_name", "group_id", "item_id")
    value_member = "data"

    def __init__(self) -> None:
        self.read_get = reader(GetArguments)
        self.read_set = reader(SetArguments)
        self.read_delete = reader(DeleteArguments)
        self.read_update = reader(UpdateArguments)
        self.read_list = reader(ListArguments)

    def key(self, call: Call, arguments: ItemPlace) -> Key:
        """Return stream, group and item."""
        return (
            checked_name(call, "stream_name", arguments.stream_name),
            checked_name(call, "group_id", arguments.group_id),
            checked_name(call, "item_id", arguments.item_id),
        )

    def group(self, call: Call, arguments: GroupPlace) -> Group:
        """Return stream and group."""
        return (
            checked_name(call, "stream_name", arguments.stream_name),
            checked_name(call, "group_id", arguments.group_id),
        )


BY_ITEM: Final = _ItemAddressing()
"""How the stream functions are called."""

read_group: Final = reader(GroupPlace)
read_send: Final = reader(SendArguments)
read_subscribers: Final = reader(SubscribersArguments)
