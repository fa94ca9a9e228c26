"""The `stream::…` functions: the store's, with workers' own functions in front of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.core.functions import Call
from engine.core.payloads import bad
from engine.core.protocol import NULL, encode
from kv.checks import checked_limit, checked_name
from kv.entries import Changed
from kv.functions import EntryFunctions
from kv.stores.base import Key, Store
from streams.arguments import BY_ITEM, read_group, read_send, read_subscribers
from streams.hub import Hub
from streams.overrides import Overrides
from streams.protocol import custom_event

if TYPE_CHECKING:
    from streams.subscription import Subscription

Answer: TypeAlias = "bytes | Awaitable[bytes | None] | None"

Publish: TypeAlias = Callable[[tuple[str, str], "str | None", bytes], None]
"""Takes an event: stream and group, item id, JSON text."""

OnValues: TypeAlias = Callable[[Key, "bytes | None", "bytes | None"], None]
"""Is told of an item's old and new value after each change, in the order of the changes."""


class StreamFunctions:
    """Reads and changes of stream items, as built-in functions.

    Args:
        store: where the items are.
        hub: who follows them.
        overrides: the workers' functions that stand for the store.
        on_change: is told of every change of the store.
        on_values: is told of every change that an override made.
        publish: takes the events that are no changes.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        overrides: Overrides,
        on_change: Callable[[Key, Changed], None],
        on_values: OnValues,
        publish: Publish,
    ) -> None:
        self._store = store
        self._hub = hub
        self._overrides = overrides
        self._on_values = on_values
        self._publish = publish
        entries = EntryFunctions(store, BY_ITEM, on_change, stand_in=self._stand_in)
        self.get = entries.get
        self.set = entries.set
        self.update = entries.update
        self.delete = entries.delete
        self.list = entries.list

    def list_groups(self, call: Call) -> Answer:
        """Answer the groups of a stream that have items, as a bare array."""
        stream_name = checked_name(call, "stream_name", read_group(call).stream_name)
        if function_id := self._overrides.find("list_groups", stream_name):
            return self._overrides.read(function_id, call)
        return self._list_groups(stream_name)

    async def list_all(self, call: Call) -> bytes:
        """Answer `{stream: [{id, groups}], count}`, sorted."""
        groups = await self._store.groups()
        streams = [
            {"id": stream, "groups": [group for _, group in members]}
            for stream, members in groupby(groups, key=lambda group: group[0])
        ]
        return encode({"stream": streams, "count": len(streams)})

    def send(self, call: Call) -> bytes:
        """Give those who follow a group, or an item, an event of any type; answer `null`."""
        arguments = read_send(call)
        name = (
            checked_name(call, "stream_name", arguments.stream_name),
            checked_name(call, "group_id", arguments.group_id),
        )
        item_id, kind = arguments.id, arguments.type
        if item_id is not None:
            checked_name(call, "id", item_id)
        if kind is None:
            raise bad(call, "Object missing required field `type`")
        if not arguments.data:
            raise bad(call, "Object missing required field `data`")
        self._publish(name, item_id, custom_event(kind, bytes(arguments.data)))
        return NULL

    def subscribers(self, call: Call) -> bytes:
        """Answer `{subscribers: [{subscription_id, client_id, …}], count}`; `count` is of all."""
        arguments = read_subscribers(call)
        limit = checked_limit(call, arguments.limit)
        found = self._hub.subscriptions(arguments.stream_name, arguments.group_id)
        shown = [_shown(each) for each in islice(found, limit)]
        return encode({"subscribers": shown, "count": len(shown) + sum(1 for _ in found)})

    def _stand_in(self, operation: str, call: Call, key: Key) -> Awaitable[bytes | None] | None:
        """Let a worker's own function do what the store would do, if there is one."""
        function_id = self._overrides.find(operation, key[0])
        if function_id is None:
            return None
        if operation in {"get", "list"}:
            return self._overrides.read(function_id, call)

        def tell(old: bytes | None, new: bytes | None) -> None:
            self._on_values(key, old, new)

        change = self._overrides.delete if operation == "delete" else self._overrides.change
        return change(function_id, call, tell)

    async def _list_groups(self, stream_name: str) -> bytes:
        return encode([group for _, group in await self._store.groups((stream_name,))])


def _shown(subscription: Subscription) -> dict[str, Any]:
    return {
        "subscription_id": subscription.id,
        "client_id": subscription.client_id,
        "stream_name": subscription.stream_name,
        "group_id": subscription.group_id,
        "id": subscription.item_id,
        "since": subscription.since,
    }
