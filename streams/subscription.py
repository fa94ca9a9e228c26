"""One client that follows one group or item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.history import Event

if TYPE_CHECKING:
    from streams.outlet import Outlet
    from streams.protocol import Place

MAX_HELD: Final = 1_024
MAX_HELD_BYTES: Final = 4 * 1024 * 1024
"""Events that may wait for the answer of an override, which `sync` is made of."""


class Subscription:
    """A subscription, by identity.

    It begins silent. It is live once its client has got what is there; while a worker is asked
    for that, events may be held back.

    Attributes:
        id: the client chose it.
        client_id: of the connection.
        stream_name: of the stream.
        group_id: of the group.
        item_id: of one item; None for the whole group.
        since: Unix milliseconds at which it began.
        sent_seq: of the last envelope that its client has been sent.
        dropped: how many envelopes it has lost since it was live.
        is_over: the client has left.
    """

    __slots__ = (
        "_held",
        "_held_bytes",
        "_is_holding",
        "_is_live",
        "_outlet",
        "client_id",
        "dropped",
        "group_id",
        "id",
        "is_over",
        "item_id",
        "sent_seq",
        "since",
        "stream_name",
    )

    def __init__(self, place: Place, client_id: str, outlet: Outlet, since: int) -> None:
        self.id = place.subscription_id
        self.client_id = client_id
        self.stream_name = place.stream_name
        self.group_id = place.group_id
        self.item_id = place.id
        self.since = since
        self.sent_seq = 0
        self.dropped = 0
        self.is_over = False
        self._outlet = outlet
        self._is_live = False
        self._is_holding = False
        self._held: list[Event] | None = None
        self._held_bytes = 0

    @property
    def group(self) -> tuple[str, str]:
        """Stream and group."""
        return self.stream_name, self.group_id

    def deliver(self, event: Event) -> None:
        """Give the client an event, or remember that it has not got it."""
        if self._is_live:
            self._outlet.send(self, event.seq, event.frame)
        elif self._held is None:
            self.dropped += 1
        else:
            self._hold(self._held, event)

    @property
    def is_live(self) -> bool:
        """Whether its client gets every event now."""
        return self._is_live

    @property
    def has_waited_too_long(self) -> bool:
        """Whether events that were held back have been dropped."""
        return self._is_holding and self._held is None

    def go_live(self) -> list[Event]:
        """Give the client every event from now on; return those that were held back."""
        held, self._held = self._held or [], None
        self._is_live, self._is_holding = True, False
        return held

    def hold(self) -> None:
        """Hold events back until it goes live."""
        self._is_live, self._is_holding = False, True
        self._held = []
        self._held_bytes = 0

    def lose(self) -> None:
        """Count an envelope that was dropped, and be silent."""
        self.dropped += 1
        self._is_live = False

    def _hold(self, held: list[Event], event: Event) -> None:
        held.append(event)
        self._held_bytes += len(event.frame)
        if len(held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
            # It takes too long: what was held is lost, and so is all until it goes live.
            self.dropped += len(held)
            self._held = None
