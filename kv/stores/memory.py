"""Entries in memory: complete, and gone with the engine; `store_method: in_memory`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from engine.core.errors import EngineError
from kv.clock import now_ms
from kv.entries import Change, Changed, Entry
from kv.stores.base import SWEEP_SIZE, Item, Names, Store

T = TypeVar("T")


class _Place:
    """An entry with its place in the order of insertion."""

    __slots__ = ("entry", "position")

    def __init__(self, position: int, entry: Entry) -> None:
        self.position = position
        self.entry = entry


class MemoryStore(Store):
    """A dict for each group; everything is done at once."""

    place = "memory (lost when the engine stops)"
    is_durable = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._groups: dict[str, dict[str, _Place]] = {}
        self._expiring: dict[tuple[str, str], int] = {}
        self._versions = itertools.count(1)
        self._positions = itertools.count(1)

    def peek(self, group: str, key: str) -> Entry | None:
        """Return an entry; nothing has to be asked for."""
        place = self._groups.get(group, {}).get(key)
        return place.entry if place is not None and place.entry.is_live(now_ms()) else None

    def get(self, group: str, key: str, finish: Callable[[Entry | None], T]) -> Awaitable[T]:
        """Read an entry."""
        return _done(lambda: finish(self.peek(group, key)))

    def change(
        self, group: str, key: str, change: Change, finish: Callable[[Changed], T]
    ) -> Awaitable[T]:
        """Change an entry."""
        return _done(lambda: finish(self._change(group, key, change)))

    def list(
        self, group: str, *, prefix: str = "", after: int = 0, limit: int | None = None
    ) -> Awaitable[list[Item]]:
        """Return entries in the order of insertion."""
        found = (
            Item(place.position, key, place.entry.value)
            for key, place in self._live(group)
            if place.position > after and key.startswith(prefix)
        )
        return _done(lambda: list(itertools.islice(found, limit)))

    def groups(self) -> Awaitable[Names]:
        """Return the groups that have entries."""
        return _done(lambda: sorted(name for name in self._groups if any(self._live(name))))

    def keys_with_prefix(self, prefix: str, group: str | None) -> Awaitable[Names]:
        """Return the keys with a prefix."""
        groups = list(self._groups) if group is None else [group]
        found = {key for name in groups for key, _ in self._live(name) if key.startswith(prefix)}
        return _done(lambda: sorted(found))

    def sweep(self, finish: Callable[[str, str, Changed], None]) -> Awaitable[int]:
        """Delete expired entries."""
        return _done(lambda: self._sweep(finish))

    def next_expiry(self) -> Awaitable[int | None]:
        """Return when the next entry expires."""
        return _done(lambda: min(self._expiring.values(), default=None))

    def _live(self, group: str) -> Iterator[tuple[str, _Place]]:
        now = now_ms()
        for key, place in self._groups.get(group, {}).items():
            if place.entry.is_live(now):
                yield key, place

    def _change(self, group: str, key: str, change: Change) -> Changed:
        places = self._groups.get(group, {})
        place = places.get(key)
        now = now_ms()
        old = place.entry if place is not None and place.entry.is_live(now) else None
        changed = change.apply(old, now, next(self._versions))
        if changed.new is None:
            self._forget(group, key)
            return changed
        if place is not None:
            place.entry = changed.new
        else:
            new = _Place(next(self._positions), changed.new)
            self._groups.setdefault(group, {})[key] = new
        if changed.new.expires_at is None:
            self._expiring.pop((group, key), None)
        else:
            self._expiring[group, key] = changed.new.expires_at
        return changed

    def _forget(self, group: str, key: str) -> None:
        self._expiring.pop((group, key), None)
        places = self._groups.get(group)
        if places is not None and places.pop(key, None) is not None and not places:
            del self._groups[group]

    def _sweep(self, finish: Callable[[str, str, Changed], None]) -> int:
        now = now_ms()
        expired = [at for at, end in self._expiring.items() if end <= now][:SWEEP_SIZE]
        for group, key in expired:
            entry = self._groups[group][key].entry
            self._forget(group, key)
            finish(group, key, Changed(entry, None))
        return len(expired)


def _done(result: Callable[[], T]) -> asyncio.Future[T]:
    """Return a future that is resolved already."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(result())
    except EngineError as error:
        future.set_exception(error)
    return future
