"""The latest events of a group, for clients that come back."""

from __future__ import annotations

from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

MAX_EVENTS: Final = 1_000
MAX_BYTES: Final = 1024 * 1024
"""What is kept of one group, whichever is less."""

EVENT_COST: Final = 250
"""What the objects of an event take beside its envelope, in bytes."""

HISTORY_COST: Final = 1_000
"""What the objects of a group take that has events, in bytes."""


@mypyc_attr(acyclic=True)
class Event:
    """Something that happened in a group.

    Attributes:
        seq: greater than that of every event of the group before it.
        item_id: of the item that it is about; None for the whole group.
        frame: the envelope, encoded once for everybody who gets it.
    """

    __slots__ = ("frame", "item_id", "seq")

    def __init__(self, seq: int, item_id: str | None, frame: bytes) -> None:
        self.seq = seq
        self.item_id = item_id
        self.frame = frame


class History:
    """The latest events of one group, within bounds.

    Args:
        floor: every event up to this `seq` is unknown here.

    Attributes:
        floor: the same; it grows with the events that are dropped.
        cost: bytes that it takes, the objects included.
    """

    __slots__ = ("_bytes", "_events", "cost", "floor")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.cost = 0
        self._bytes = 0
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> int:
        """Keep an event; the oldest ones go. Return by how much the cost has grown."""
        events, before = self._events, self.cost
        if not events:
            self.cost += HISTORY_COST
        events.append(event)
        size = len(event.frame)
        self._bytes += size
        self.cost += size + EVENT_COST
        while self._bytes > MAX_BYTES or len(events) > MAX_EVENTS:
            self._drop_oldest()
        return self.cost - before

    def clear(self) -> int:
        """Drop all events. Return by how much the cost has shrunk."""
        before = self.cost
        while self._events:
            self._drop_oldest()
        return before

    def since(self, seq: int, item_id: str | None) -> list[Event] | None:
        """Return the events after one, those of an item or all; None if some may be missing."""
        if seq < self.floor:
            return None
        newer: list[Event] = []
        for event in reversed(self._events):
            if event.seq <= seq:
                break
            if item_id is None or event.item_id == item_id:
                newer.append(event)
        newer.reverse()
        return newer

    def _drop_oldest(self) -> None:
        event = self._events.popleft()
        size = len(event.frame)
        self._bytes -= size
        self.cost -= size + EVENT_COST
        if not self._events:
            self.cost = 0
        self.floor = event.seq
