"""The desk of all streams: makes events of changes, lets clients in, says what is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from engine.core.deferred import Deferred
from engine.core.protocol import NULL, encode
from kv.entries import Changed, Entry, Item
from kv.stores.base import Key, Store
from streams.authentication import context_of
from streams.doors import Door, door_payload
from streams.hub import Hub
from streams.overrides import Overrides
from streams.protocol import data_event
from streams.session import StreamSession
from streams.trigger import StreamTriggerType

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from streams.outlet import Socket
    from streams.subscription import Subscription

logger = logging.getLogger(__name__)

Finish: TypeAlias = Callable[["bytes | None", int], None]

OVERRIDE_LIMIT_S: Final = 30.0
"""How long a client waits for a worker that says what is there; after that, it gets no `sync`."""


class Desk:
    """What the clients and the functions of a running stream module share.

    Args:
        engine: calls handlers and overrides.
        store: where the items are.
        auth_function: id of the function that makes the context of a client; None without one.

    Attributes:
        hub: who follows what.
        overrides: the workers' functions that stand for the store.
        trigger_types: of this module.
    """

    def __init__(self, engine: Engine, store: Store, auth_function: str | None = None) -> None:
        self._engine = engine
        self._store = store
        self._auth_function = auth_function
        self.hub = Hub()
        self.overrides = Overrides(engine)
        self._events = StreamTriggerType(engine)
        self._join = Door(engine, "join", "Clients that want to follow a group or an item")
        self._leave = Door(engine, "leave", "Clients that follow a group or an item no longer")
        self.trigger_types = (self._events, self._join, self._leave)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reads: dict[Key, list[Finish]] = {}

    def close(self) -> None:
        """Wait for no handler any more."""
        for task in list(self._tasks):
            task.cancel()

    # --- events -------------------------------------------------------------------------------

    def on_change(self, key: Key, changed: Changed) -> None:
        """Tell everybody of a change of the store that was committed."""
        self.on_values(key, _value(changed.old), _value(changed.new))

    def on_values(self, key: Key, old: bytes | None, new: bytes | None) -> None:
        """Tell everybody of a change; None where there is no item."""
        stream_name, group_id, item_id = key
        if new is not None:
            event = data_event(b"update" if old is not None else b"create", new)
        elif old is not None:
            event = data_event(b"delete", old)
        else:
            return
        self.publish((stream_name, group_id), item_id, event)

    def publish(self, name: tuple[str, str], item_id: str | None, event: bytes) -> None:
        """Start the handlers of an event, then give it to the clients."""
        recorded = self.hub.record(name, item_id, event)
        if self._events.has_triggers:
            self._events.on_event(name, recorded)
        self.hub.deliver(name, recorded)

    # --- clients ------------------------------------------------------------------------------

    async def connect(self, socket: Socket, scope: Mapping[str, Any]) -> StreamSession:
        """Return the session of a new connection; its messages wait until then."""
        context = NULL
        if self._auth_function is not None:
            context = await context_of(self._engine, self._auth_function, scope)
        return StreamSession(self, socket, context)

    def is_watched(self, kind: str, stream_name: str) -> bool:
        """Tell whether a handler has to be called before a client joins, or when it leaves."""
        return self._door(kind).is_watched(stream_name)

    async def pass_through(
        self,
        kind: str,
        subscription_id: str,
        name: tuple[str, str],
        item_id: str | None,
        context: bytes,
    ) -> bool:
        """Call the handlers of `join` or `leave`; False if one of them refuses."""
        payload = door_payload(subscription_id, name, item_id, context)
        return await self._door(kind).pass_through(name[0], payload)

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside that ends by itself, or with the engine."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def read(self, subscription: Subscription, finish: Finish) -> None:
        """Read what a subscription is about.

        From the store, it is read in its turn: every event before it was published when `finish`
        is called, and none after it. A worker that keeps the stream may answer at any time, so
        events are held back meanwhile.

        Args:
            subscription: of a group or an item.
            finish: gets JSON text: an array of the group's items, the item or `null`; None if it
                cannot be read. And the first of two numbers for what the client is told of it:
                they are between those of the events before and those after it.
        """
        operation = "list" if subscription.item_id is None else "get"
        function_id = self.overrides.find(operation, subscription.stream_name)
        if function_id is None:
            self._read_store(subscription, finish)
        else:
            self._ask(function_id, subscription, finish)

    def _read_store(self, subscription: Subscription, finish: Finish) -> None:
        """Read from the store; one read serves all who ask until it is there."""
        place: Key = subscription.group
        if subscription.item_id is not None:
            place = (*place, subscription.item_id)
        waiting = self._reads.get(place)
        if waiting is not None:
            waiting.append(finish)
            return
        self._reads[place] = [finish]

        def conclude(data: bytes | None) -> None:
            for each in self._reads.pop(place, ()):
                each(data, self.hub.reserve(2))

        def settled(outcome: Deferred[None]) -> None:
            if outcome.error is not None:
                logger.warning("clients get no sync: %s", outcome.error)
                conclude(None)

        if subscription.item_id is None:
            read = self._store.list_in_turn(place, lambda items: conclude(_array(items)))
        else:
            read = self._store.get_in_turn(place, lambda entry: conclude(_value(entry) or NULL))
        read.then(settled)

    def _ask(self, function_id: str, subscription: Subscription, finish: Finish) -> None:
        """Have a worker say what is there."""
        numbers = self.hub.reserve(2)
        subscription.hold()
        self.hub.add(subscription)
        place = {"stream_name": subscription.stream_name, "group_id": subscription.group_id}
        nothing = b"[]"
        if subscription.item_id is not None:
            place["item_id"] = subscription.item_id
            nothing = NULL
        future = self._engine.invoke(function_id, encode(place))
        timer = asyncio.get_running_loop().call_later(OVERRIDE_LIMIT_S, future.cancel)

        def settled(done: asyncio.Future[bytes | None]) -> None:
            timer.cancel()
            if done.cancelled():
                logger.warning("a client gets no sync: %s does not answer", function_id)
                finish(None, numbers)
            elif (error := done.exception()) is not None:
                logger.warning("a client gets no sync: %s failed: %s", function_id, error)
                finish(None, numbers)
            else:
                result = (done.result() or NULL).strip()
                finish(nothing if result == NULL else result, numbers)

        future.add_done_callback(settled)

    def _door(self, kind: str) -> Door:
        return self._join if kind == "join" else self._leave


def _value(entry: Entry | None) -> bytes | None:
    return None if entry is None else entry.value


def _array(items: Sequence[Item]) -> bytes:
    return b"[%b]" % b",".join([item.value for item in items])
