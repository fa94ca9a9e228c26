"""One client's connection: its messages in their order, and its subscriptions."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final

from kv.clock import now_ms
from streams.outlet import Outlet
from streams.protocol import (
    UNAUTHORIZED,
    BadMessage,
    ClientMessage,
    Place,
    data_event,
    envelope,
    group_members,
    json_or_null,
    lagged_event,
    read_message,
    resumed_event,
)
from streams.subscription import Subscription

if TYPE_CHECKING:
    from streams.desk import Desk
    from streams.outlet import Socket

logger = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS: Final = 10_000
"""Of one connection; more are refused."""

MAX_WAITING: Final = 1_024
"""Messages that may wait for the handlers of those before them; more are ignored."""


class StreamSession:
    """A connection from its accepted handshake to its end.

    Messages are handled one after the other: while the handlers of one are awaited, those behind
    it wait.

    Args:
        desk: of all streams.
        socket: of the client.
        context: what the auth function has answered, JSON text.
    """

    def __init__(self, desk: Desk, socket: Socket, context: bytes) -> None:
        self.client_id = str(uuid.uuid4())
        self._desk = desk
        self._context = context
        self._outlet = Outlet(socket, self._refresh)
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: deque[ClientMessage] = deque()
        self._is_busy = False
        self._is_closed = False

    def on_text(self, payload: bytes) -> None:
        """Handle a message; what is none is ignored."""
        try:
            message = read_message(payload)
        except BadMessage as error:
            if payload:
                logger.info("a message of a stream client is ignored: %s", error)
            return
        if self._is_busy:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(message)
            else:
                logger.warning("a stream client sends too much, a message is ignored")
            return
        self._handle(message)

    def on_binary(self, payload: bytes) -> None:
        """Handle a message that came as binary."""
        self.on_text(payload)

    def on_room(self) -> None:
        """Go on: the client has read, the socket has room again."""
        self._outlet.on_room()

    def close(self) -> None:
        """End all subscriptions; each is told to the leave handlers."""
        self._is_closed = True
        self._waiting.clear()
        subscriptions = list(self._subscriptions.values())
        self._subscriptions.clear()
        for subscription in subscriptions:
            self._end(subscription)
        if any(self._desk.is_watched("leave", each.stream_name) for each in subscriptions):
            self._desk.begin(self._tell_leave(subscriptions))

    # --- messages -----------------------------------------------------------------------------

    def _handle(self, message: ClientMessage) -> None:
        """Handle a message at once, or begin to if handlers have to be awaited."""
        if self._desk.is_watched(message.type, message.data.stream_name):
            self._is_busy = True
            self._desk.begin(self._handle_in_turn(message))
        elif message.type == "join":
            self._join(message.data, is_welcome=True)
        else:
            self._end(self._subscriptions.pop(message.data.subscription_id, None))

    async def _handle_in_turn(self, message: ClientMessage) -> None:
        """Handle a message and those behind it."""
        waiting = self._waiting
        waiting.appendleft(message)
        try:
            while waiting:
                message = waiting.popleft()
                if message.type == "join":
                    is_welcome = await self._pass_through(message)
                    if self._is_closed:
                        return
                    self._join(message.data, is_welcome=is_welcome)
                    continue
                # Out of the table first: the end of the connection must not tell it again.
                subscription = self._subscriptions.pop(message.data.subscription_id, None)
                try:
                    await self._pass_through(message)
                finally:
                    self._end(subscription)
        finally:
            self._is_busy = False

    async def _pass_through(self, message: ClientMessage) -> bool:
        """Call the handlers of a message; False if one of them refuses."""
        place = message.data
        if not self._desk.is_watched(message.type, place.stream_name):
            return True
        name = (place.stream_name, place.group_id)
        return await self._desk.pass_through(
            message.type, place.subscription_id, name, place.id, self._context
        )

    def _join(self, place: Place, *, is_welcome: bool) -> None:
        subscription = Subscription(place, self.client_id, self._outlet, now_ms())
        former = self._subscriptions.get(place.subscription_id)
        if is_welcome and former is None and len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            logger.warning("a stream client has %d subscriptions already", MAX_SUBSCRIPTIONS)
            is_welcome = False
        if not is_welcome:
            self._tell(subscription, UNAUTHORIZED, self._desk.hub.next_seq())
            return
        self._end(former)
        self._subscriptions[place.subscription_id] = subscription
        if place.last_seen is None or not self._resume(subscription, place.last_seen):
            self._refresh(subscription)

    async def _tell_leave(self, subscriptions: list[Subscription]) -> None:
        for each in subscriptions:
            await self._desk.pass_through("leave", each.id, each.group, each.item_id, self._context)

    # --- what subscriptions get -----------------------------------------------------------------

    def _resume(self, subscription: Subscription, last_seen: int) -> bool:
        """Send what has happened since; False if some of it is not known any more."""
        hub = self._desk.hub
        missed = hub.since(subscription.group, last_seen, subscription.item_id)
        if missed is None:
            return False
        hub.add(subscription)
        subscription.go_live()
        for event in missed:
            subscription.deliver(event)
        if subscription.is_live:  # else it lags already, and will get a sync
            self._tell(subscription, resumed_event(len(missed), last_seen), hub.next_seq())
        return True

    def _refresh(self, subscription: Subscription) -> None:
        """Send what is there, and every event from then on."""

        def finish(data: bytes | None, first_number: int) -> None:
            self._sync(subscription, data, first_number)

        if self._subscriptions.get(subscription.id) is subscription:
            self._desk.read(subscription, finish)
        else:
            self._outlet.forget(subscription)

    def _sync(self, subscription: Subscription, data: bytes | None, first_number: int) -> None:
        if subscription.is_over:
            return
        if subscription.has_waited_too_long:
            self._refresh(subscription)
            return
        self._desk.hub.add(subscription)
        held = subscription.go_live()
        if subscription.dropped:
            dropped, subscription.dropped = subscription.dropped, 0
            lagged = lagged_event(dropped, subscription.sent_seq)
            self._tell(subscription, lagged, first_number)
        if data is not None:
            self._tell(subscription, data_event(b"sync", data), first_number + 1)
        for event in held:
            subscription.deliver(event)
        self._outlet.recovered(subscription)

    def _tell(self, subscription: Subscription, event: bytes, seq: int) -> None:
        """Send something to one subscription alone."""
        members = group_members(*subscription.group)
        item_id = json_or_null(subscription.item_id)
        self._outlet.send(subscription, seq, envelope(now_ms(), members, item_id, event, seq))

    def _end(self, subscription: Subscription | None) -> None:
        if subscription is not None:
            subscription.is_over = True
            self._desk.hub.remove(subscription)
            self._outlet.forget(subscription)
