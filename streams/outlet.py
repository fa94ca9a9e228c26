"""The way of envelopes to one client: what waits for a slow one, and how much may.

A client that does not read loses what waits for it. It hears of that (`lagged`) when it reads
again, and gets what is there by then (`sync`). Nobody else waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from streams.subscription import Subscription

MAX_QUEUED: Final = 1_024
MAX_QUEUED_BYTES: Final = 4 * 1024 * 1024
"""Envelopes that may wait for a client; one larger envelope alone is allowed."""

HANDED_OVER: Final = 1_024
HANDED_OVER_BYTES: Final = 256 * 1024
"""What the socket itself should hold back at most: it cannot be dropped any more."""


class Socket(Protocol):
    """What an outlet needs of a socket, see `engine.server.socket.Socket`.

    Its limits are HANDED_OVER and HANDED_OVER_BYTES; it calls `Outlet.on_room`.
    """

    def offer(self, frame: bytes) -> bool:
        """Queue a text frame; False if there is no room even after a flush."""

    def write(self, is_text: bool, payload: bytes) -> bool:
        """Queue a message in any case; False if it will tell when there is room again."""


class Outlet:
    """The queue of one client.

    Args:
        socket: takes the frames.
        refresh: is called with each subscription that has lost something, one after the other,
            when the client reads again; `recovered` or `forget` has to follow.
    """

    __slots__ = (
        "_bytes",
        "_has_room",
        "_is_pumping",
        "_lagging",
        "_queue",
        "_refresh",
        "_refreshing",
        "_socket",
    )

    def __init__(self, socket: Socket, refresh: Callable[[Subscription], None]) -> None:
        self._socket = socket
        self._refresh = refresh
        self._queue: deque[tuple[Subscription, int, bytes]] = deque()
        self._bytes = 0
        self._has_room = True
        self._is_pumping = False
        self._lagging: dict[Subscription, None] = {}
        self._refreshing: Subscription | None = None

    @property
    def queued(self) -> int:
        """How many envelopes wait here."""
        return len(self._queue)

    def send(self, subscription: Subscription, seq: int, frame: bytes) -> None:
        """Send an envelope to the client, now or when it has read what was before."""
        if self._has_room:
            self._hand_over(subscription, seq, frame)
            return
        self._queue.append((subscription, seq, frame))
        self._bytes += len(frame)
        is_too_large = self._bytes > MAX_QUEUED_BYTES and len(self._queue) > 1
        if is_too_large or len(self._queue) > MAX_QUEUED:
            self._drop()

    def on_room(self) -> None:
        """Go on: the client has read, the socket has room again."""
        self._has_room = True
        self._pump()

    def recovered(self, subscription: Subscription) -> None:
        """Go on with the next subscription that has lost something."""
        if self._refreshing is subscription:
            self._refreshing = None
            self._pump()

    def forget(self, subscription: Subscription) -> None:
        """Refresh a subscription no more: it is over."""
        self._lagging.pop(subscription, None)
        self.recovered(subscription)

    def _hand_over(self, subscription: Subscription, seq: int, frame: bytes) -> None:
        if not self._socket.offer(frame):
            self._has_room = self._socket.write(True, frame)
        subscription.sent_seq = seq

    def _drop(self) -> None:
        """Drop what waits; whoever loses something gets nothing more until it is refreshed."""
        for subscription, _, _ in self._queue:
            if not subscription.is_over:
                subscription.lose()
                self._lagging[subscription] = None
        self._queue.clear()
        self._bytes = 0

    def _pump(self) -> None:
        """Hand over what waits, as far as there is room; then refresh who has lost something."""
        if self._is_pumping:  # a refresh from memory is over at once
            return
        self._is_pumping = True
        queue, lagging = self._queue, self._lagging
        while queue and self._has_room:
            subscription, seq, frame = queue.popleft()
            self._bytes -= len(frame)
            if not subscription.is_over:
                self._hand_over(subscription, seq, frame)
        while lagging and self._has_room and self._refreshing is None:
            subscription = next(iter(lagging))
            del lagging[subscription]
            self._refreshing = subscription
            self._refresh(subscription)
        self._is_pumping = False
