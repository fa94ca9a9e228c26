"""A bounded cache of rows that have been committed: write-through, least recently used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")

ENTRY_COST: Final = 400
"""What the objects of an entry take beside its texts, in bytes."""


class RowCache(Generic[Key, Row]):
    """Rows by key; None for a key that is known to have none.

    The database thread alone puts rows in, right after their commit; any thread may look.
    Single operations of an OrderedDict are atomic under the interpreter's lock, which is all the
    locking that this needs.

    Args:
        max_bytes: what the rows may take.
        weigh: the bytes that a key and its row take, without ENTRY_COST.
    """

    def __init__(self, max_bytes: int, weigh: Callable[[Key, Row | None], int]) -> None:
        self.size = 0
        self._max_bytes = max_bytes
        self._weigh = weigh
        self._rows: OrderedDict[Key, tuple[Row | None, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Key, default: Row | None) -> Row | None:
        """Return the row, None if there is none, `default` if that is not known."""
        found = self._rows.get(key)
        if found is None:
            return default
        try:
            self._rows.move_to_end(key)
        except KeyError:  # the other thread has just put it out
            return default
        return found[0]

    def put(self, key: Key, row: Row | None) -> None:
        """Keep a row, or that there is none; the least recently used go."""
        rows = self._rows
        cost = ENTRY_COST + self._weigh(key, row)
        former = rows.pop(key, None)
        rows[key] = row, cost
        self.size += cost if former is None else cost - former[1]
        while self.size > self._max_bytes and rows:
            _, (_, gone) = rows.popitem(last=False)
            self.size -= gone

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()
        self.size = 0
