"""How calls say which entry they mean: the shapes of their payloads, and the key in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from mypy_extensions import mypyc_attr

from engine.core.functions import Call
from engine.core.payloads import reader
from kv.arguments import (
    DeleteArguments,
    GetArguments,
    ListArguments,
    Place,
    SetArguments,
    UpdateArguments,
)
from kv.checks import checked_name
from kv.stores.base import Group, Key


@mypyc_attr(allow_interpreted_subclasses=True)
class Addressing(ABC):
    """The payloads of one module's functions.

    Attributes:
        columns: of the table that has the entries, those of their keys.
        value_member: what `set` calls the value.
        read_get: reads a payload with `with_version`; each of them raises DeserializationError.
        read_set: one with `value` or `data`, `ttl_ms`, `if_version` and `with_version`.
        read_delete: one with `if_version` and `with_version`.
        read_update: one with `ops`, `ttl_ms`, `if_version` and `with_version`.
        read_list: one with `prefix`, `limit`, `cursor` and `is_paged`.
    """

    columns: ClassVar[tuple[str, ...]]
    value_member: ClassVar[str] = "value"

    read_get: Callable[[Call], Any]
    read_set: Callable[[Call], Any]
    read_delete: Callable[[Call], Any]
    read_update: Callable[[Call], Any]
    read_list: Callable[[Call], Any]

    @abstractmethod
    def key(self, call: Call, arguments: Any) -> Key:
        """Return the key of the entry that a payload means.

        Raises:
            DeserializationError: a name is missing, or cannot be stored.
        """

    @abstractmethod
    def group(self, call: Call, arguments: Any) -> Group:
        """Return the group that a payload of `list` means.

        Raises:
            DeserializationError: a name is missing, or cannot be stored.
        """


class _PlaceAddressing(Addressing):
    """Payloads of state and KV, which differ in the spellings that are understood."""

    def __init__(self) -> None:
        self.read_get = reader(GetArguments)
        self.read_set = reader(SetArguments)
        self.read_delete = reader(DeleteArguments)
        self.read_update = reader(UpdateArguments)
        self.read_list = reader(ListArguments)


class _ScopeAddressing(_PlaceAddressing):
    """State says `scope` and `key`, or, in its first days, `group_id` and `item_id`."""

    columns = ("scope", "key")

    def key(self, call: Call, arguments: Place) -> Key:
        """Return scope and key."""
        scope = arguments.group_id if arguments.scope is None else arguments.scope
        key = arguments.item_id if arguments.key is None else arguments.key
        return checked_name(call, "scope", scope), checked_name(call, "key", key)

    def group(self, call: Call, arguments: ListArguments) -> Group:
        """Return the scope."""
        scope = arguments.group_id if arguments.scope is None else arguments.scope
        return (checked_name(call, "scope", scope),)


class _IndexAddressing(_PlaceAddressing):
    """The KV server says `index` and `key`."""

    columns = ("index", "key")

    def key(self, call: Call, arguments: Place) -> Key:
        """Return index and key."""
        index, key = arguments.index, arguments.key
        return checked_name(call, "index", index), checked_name(call, "key", key)

    def group(self, call: Call, arguments: ListArguments) -> Group:
        """Return the index."""
        return (checked_name(call, "index", arguments.index),)


BY_SCOPE: Final = _ScopeAddressing()
"""How the state module is called."""

BY_INDEX: Final = _IndexAddressing()
"""How the KV server is called."""
