"""A bounded cache of rows that have been committed: write-through, least recently used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")

ENTRY_COST: Final = 400
"""What the objects of an entry take beside its texts, in bytes."""

MAX_CHANCES: Final = 1_000
"""How many rows are spared at once at most; the caller would wait for more."""


class _Slot(Generic[Row]):
    """A row that is kept, what it costs, and whether it was looked for since it was last spared."""

    __slots__ = ("cost", "is_used", "row")

    def __init__(self, row: Row | None, cost: int) -> None:
        self.row = row
        self.cost = cost
        self.is_used = False


class RowCache(Generic[Key, Row]):
    """Rows by key; None for a key that is known to have none.

    The database thread alone puts rows in, right after their commit; any thread may look.
    Single operations of an OrderedDict are atomic under the interpreter's lock, which is all the
    locking that this needs. A row that was looked for is spared once when its turn to go comes
    ("second chance"): nearly what "least recently used" keeps, and a look moves nothing.

    Args:
        max_bytes: what the rows may take.
        weigh: the bytes that a key and its row take, without ENTRY_COST.
    """

    def __init__(self, max_bytes: int, weigh: Callable[[Key, Row | None], int]) -> None:
        self.size = 0
        self._max_bytes = max_bytes
        self._weigh = weigh
        self._slots: OrderedDict[Key, _Slot[Row]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, key: Key, default: Row | None) -> Row | None:
        """Return the row, None if there is none, `default` if that is not known."""
        slot = self._slots.get(key)
        if slot is None:
            return default
        slot.is_used = True
        return slot.row

    def put(self, rows: Mapping[Key, Row | None]) -> None:
        """Keep rows, or that there are none; those not looked for lately go."""
        slots, weigh = self._slots, self._weigh
        for key, row in rows.items():
            cost = ENTRY_COST + weigh(key, row)
            slot = slots.get(key)
            if slot is None:
                slots[key] = _Slot(row, cost)
                self.size += cost
            else:
                self.size += cost - slot.cost
                slot.row = row
                slot.cost = cost
        chances = MAX_CHANCES
        while self.size > self._max_bytes and slots:
            key, slot = slots.popitem(last=False)
            if slot.is_used and chances:
                chances -= 1
                slot.is_used = False
                slots[key] = slot
            else:
                self.size -= slot.cost

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self.size = 0
