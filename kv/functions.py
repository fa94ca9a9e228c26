"""The functions that all modules of entries have in common, and their results as JSON text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from engine.core.functions import Call
from engine.core.payloads import bad
from engine.core.protocol import NULL, encode
from kv.addresses import Addressing
from kv.checks import checked_cursor, checked_limit, checked_ttl, checked_version
from kv.entries import (
    NO_VERSION,
    Change,
    Changed,
    DeleteEntry,
    Entry,
    Item,
    SetValue,
    UpdateValue,
    check_size,
)
from kv.stores.base import Group, Key, Store, Unknown
from kv.update_ops import InvalidOps, parse_ops

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.functions import Handler

T = TypeVar("T")

OnChange = Callable[[Key, Changed], None]
"""Is told of every change after its commit, in the order of the commits."""


StandIn = Callable[[str, Call, Key], "Awaitable[bytes | None] | None"]
"""May answer instead of the store: gets the operation (`get`), the call, and its key or group.

None lets the store answer.
"""


class EntryFunctions:
    """Reads and changes of one store, as built-in functions.

    Args:
        store: where the entries are.
        addressing: how this module's payloads say which entry they mean.
        on_change: is told of every change.
        max_value_bytes: a larger value is refused; None for no limit.
        stand_in: is asked first; None if the store answers everything.
    """

    def __init__(
        self,
        store: Store,
        addressing: Addressing,
        on_change: OnChange | None = None,
        max_value_bytes: int | None = None,
        stand_in: StandIn | None = None,
    ) -> None:
        self._store = store
        self._addressing = addressing
        self._on_change = on_change
        self._max_value_bytes = max_value_bytes
        self._stand_in = stand_in

    def get(self, call: Call) -> bytes | Awaitable[bytes | None] | None:
        """Answer the value, nothing if there is none; `{value, version}` with `with_version`."""
        arguments = self._addressing.read_get(call)
        key = self._addressing.key(call, arguments)
        if self._stand_in is not None and (answer := self._stand_in("get", call, key)):
            return answer
        finish = _with_version if arguments.with_version else _value
        entry = self._store.peek(key)
        if not isinstance(entry, Unknown):
            return finish(entry)
        return self._store.get(key, finish)

    def set(self, call: Call) -> Awaitable[bytes | None]:
        """Answer `{old_value, new_value}`, and `version` if versions were spoken of."""
        arguments = self._addressing.read_set(call)
        key = self._addressing.key(call, arguments)
        if arguments.value and arguments.data:
            raise bad(call, f"duplicate field `{self._addressing.value_member}`")
        value = bytes(arguments.value) or bytes(arguments.data)
        if not value:
            member = self._addressing.value_member
            raise bad(call, f"Object missing required field `{member}`")
        if self._stand_in is not None and (answer := self._stand_in("set", call, key)):
            return answer
        check_size(len(value), self._max_value_bytes)
        ttl_ms, if_version = arguments.ttl_ms, arguments.if_version
        if ttl_ms is None and if_version is None:
            change = SetValue(value)
        else:
            change = SetValue(value, checked_ttl(call, ttl_ms), checked_version(call, if_version))
        says_version = arguments.with_version or if_version is not None
        return self._change(key, change, says_version)

    def update(self, call: Call) -> Awaitable[bytes | None]:
        """Answer `{old_value, new_value, errors?}` after update operations."""
        arguments = self._addressing.read_update(call)
        key = self._addressing.key(call, arguments)
        if not arguments.ops:
            raise bad(call, "Object missing required field `ops`")
        try:
            ops = parse_ops(arguments.ops)
        except InvalidOps as error:
            raise bad(call, error.message) from error
        if self._stand_in is not None and (answer := self._stand_in("update", call, key)):
            return answer
        change = UpdateValue(
            ops,
            len(arguments.ops),
            checked_ttl(call, arguments.ttl_ms),
            checked_version(call, arguments.if_version),
            self._max_value_bytes,
        )
        says_version = arguments.with_version or arguments.if_version is not None
        return self._change(key, change, says_version)

    def delete_bare(self, call: Call) -> Awaitable[bytes | None]:
        """Answer the old value itself, nothing if there was none; an object about versions."""
        return self._delete(call, _old_value)

    def delete(self, call: Call) -> Awaitable[bytes | None]:
        """Answer `{old_value}`."""
        return self._delete(call, _old_value_object)

    def list(self, call: Call) -> Awaitable[bytes | None]:
        """Answer the values, or a page `{items: [{key, value}], cursor}` if one is asked for."""
        arguments = self._addressing.read_list(call)
        group = self._addressing.group(call, arguments)
        if self._stand_in is not None and (answer := self._stand_in("list", call, group)):
            return answer
        if not arguments.is_paged:
            return self._list(group)
        limit = checked_limit(call, arguments.limit)
        after = checked_cursor(call, arguments.cursor)
        return self._list_page(group, arguments.prefix or "", after, limit)

    async def _list(self, group: Group) -> bytes:
        return _values(await self._store.list(group))

    async def _list_page(self, group: Group, prefix: str, after: int, limit: int) -> bytes:
        found = await self._store.list(group, prefix=prefix, after=after, limit=limit + 1)
        return _page(found, limit)

    async def list_groups(self, call: Call) -> bytes:
        """Answer `{groups}`, sorted."""
        return encode({"groups": [name for (name,) in await self._store.groups()]})

    def _delete(
        self, call: Call, finish: Callable[[Changed], bytes | None]
    ) -> Awaitable[bytes | None]:
        arguments = self._addressing.read_delete(call)
        key = self._addressing.key(call, arguments)
        if self._stand_in is not None and (answer := self._stand_in("delete", call, key)):
            return answer
        if arguments.with_version or arguments.if_version is not None:
            finish = _old_value_and_version
        change = DeleteEntry(checked_version(call, arguments.if_version))
        return self._store.change(key, change, self._finisher(key, finish))

    def _change(self, key: Key, change: Change, says_version: bool) -> Awaitable[bytes]:
        finish = _both_values_and_version if says_version else _both_values
        return self._store.change(key, change, self._finisher(key, finish))

    def _finisher(self, key: Key, finish: Callable[[Changed], T]) -> Callable[[Changed], T]:
        on_change = self._on_change
        if on_change is None:
            return finish

        def tell(changed: Changed) -> T:
            on_change(key, changed)
            return finish(changed)

        return tell


def register(
    engine: Engine,
    prefix: str,
    handlers: Mapping[str, Handler],
    descriptions: Mapping[str, str],
    schemas: Mapping[str, Mapping[str, Any]],
) -> None:
    """Install the functions of a module, each under its dotted spelling, too.

    Args:
        engine: where.
        prefix: the first part of their ids: `state`.
        handlers: by the last part of the id.
        descriptions: likewise.
        schemas: likewise, `request_format` and `response_format`.
    """
    for name, handler in handlers.items():
        engine.register_function(
            f"{prefix}::{name}",
            handler,
            description=descriptions[name],
            aliases=(f"{prefix}.{name}",),
            failure_code=f"{name.upper()}_ERROR",
            **schemas[name],
        )


def _value(entry: Entry | None) -> bytes | None:
    return None if entry is None else entry.value


def _with_version(entry: Entry | None) -> bytes:
    if entry is None:
        return b'{"value":null,"version":%d}' % NO_VERSION
    return b'{"value":%b,"version":%d}' % (entry.value, entry.version)


def _old(changed: Changed) -> bytes:
    return NULL if changed.old is None else changed.old.value


def _new(changed: Changed) -> bytes:
    return NULL if changed.new is None else changed.new.value


def _both_values(changed: Changed) -> bytes:
    if changed.errors:
        return b'{"old_value":%b,"new_value":%b,"errors":%b}' % (
            _old(changed),
            _new(changed),
            encode(changed.errors),
        )
    return b'{"old_value":%b,"new_value":%b}' % (_old(changed), _new(changed))


def _both_values_and_version(changed: Changed) -> bytes:
    version = NO_VERSION if changed.new is None else changed.new.version
    return b'%b,"version":%d}' % (_both_values(changed)[:-1], version)


def _old_value(changed: Changed) -> bytes | None:
    return None if changed.old is None else changed.old.value


def _old_value_object(changed: Changed) -> bytes:
    return b'{"old_value":%b}' % _old(changed)


def _old_value_and_version(changed: Changed) -> bytes:
    version = NO_VERSION if changed.old is None else changed.old.version
    return b'{"old_value":%b,"version":%d}' % (_old(changed), version)


def _values(items: Sequence[Item]) -> bytes:
    return b"[%b]" % b",".join([item.value for item in items])


def _page(items: Sequence[Item], limit: int) -> bytes:
    shown = items[:limit]
    cursor = str(shown[-1].position) if len(items) > limit else None
    listed = [{"key": item.name, "value": msgspec.Raw(item.value)} for item in shown]
    return encode({"items": listed, "cursor": cursor})
