"""Entries in memory: complete, and gone with the engine; `store_method: in_memory`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from kv.clock import now_ms
from kv.entries import Change, Changed, Entry, Item
from kv.stores.base import SWEEP_SIZE, Group, Groups, Items, Key, Names, Store

T = TypeVar("T")


class _Place:
    """An entry with its place in the order of insertion."""

    __slots__ = ("entry", "position")

    def __init__(self, position: int, entry: Entry) -> None:
        self.position = position
        self.entry = entry


class MemoryStore(Store):
    """A dict for each group; everything is done at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.place = "memory (lost when the engine stops)"
        self.is_durable = False
        self._groups: dict[Group, dict[str, _Place]] = {}
        self._expiring: dict[Key, int] = {}
        self._versions = itertools.count(1)
        self._positions = itertools.count(1)

    def peek(self, key: Key) -> Entry | None:
        """Return an entry; nothing has to be asked for."""
        place = self._groups.get(key[:-1], {}).get(key[-1])
        return place.entry if place is not None and place.entry.is_live(now_ms()) else None

    def get(self, key: Key, finish: Callable[[Entry | None], T]) -> Deferred[T]:
        """Read an entry."""
        return _done(lambda: finish(self.peek(key)))

    def change(self, key: Key, change: Change, finish: Callable[[Changed], T]) -> Deferred[T]:
        """Change an entry."""
        return _done(lambda: finish(self._change(key, change)))

    def list(
        self, group: Group, *, prefix: str = "", after: int = 0, limit: int | None = None
    ) -> Deferred[Items]:
        """Return entries in the order of insertion."""
        found = (
            Item(place.position, name, place.entry.value)
            for name, place in self._live(group)
            if place.position > after and name.startswith(prefix)
        )
        return _done(lambda: list(itertools.islice(found, limit)))

    def get_in_turn(self, key: Key, finish: Callable[[Entry | None], T]) -> Deferred[T]:
        """Read an entry; every change has been told."""
        return self.get(key, finish)

    def list_in_turn(self, group: Group, finish: Callable[[Items], T]) -> Deferred[T]:
        """Read all entries of a group; every change has been told."""
        return _done(lambda: finish(self.list(group).value))

    def groups(self, under: Group = ()) -> Deferred[Groups]:
        """Return the groups that have entries."""
        size = len(under)
        return _done(
            lambda: sorted(
                group for group in self._groups if group[:size] == under and any(self._live(group))
            )
        )

    def names_with_prefix(self, prefix: str, group: Group | None) -> Deferred[Names]:
        """Return the names with a prefix."""
        groups = list(self._groups) if group is None else [group]
        found = {name for each in groups for name, _ in self._live(each) if name.startswith(prefix)}
        return _done(lambda: sorted(found))

    def sweep(self, finish: Callable[[Key, Changed], None]) -> Deferred[int]:
        """Delete expired entries."""
        return _done(lambda: self._sweep(finish))

    def next_expiry(self) -> Deferred[int | None]:
        """Return when the next entry expires."""
        return _done(lambda: min(self._expiring.values(), default=None))

    def _live(self, group: Group) -> Iterator[tuple[str, _Place]]:
        now = now_ms()
        for name, place in self._groups.get(group, {}).items():
            if place.entry.is_live(now):
                yield name, place

    def _change(self, key: Key, change: Change) -> Changed:
        group, name = key[:-1], key[-1]
        place = self._groups.get(group, {}).get(name)
        now = now_ms()
        old = place.entry if place is not None and place.entry.is_live(now) else None
        changed = change.apply(old, now, next(self._versions))
        if changed.new is None:
            self._forget(key)
            return changed
        if place is not None:
            place.entry = changed.new
        else:
            new = _Place(next(self._positions), changed.new)
            self._groups.setdefault(group, {})[name] = new
        if changed.new.expires_at is None:
            self._expiring.pop(key, None)
        else:
            self._expiring[key] = changed.new.expires_at
        return changed

    def _forget(self, key: Key) -> None:
        self._expiring.pop(key, None)
        group = key[:-1]
        places = self._groups.get(group)
        if places is not None and places.pop(key[-1], None) is not None and not places:
            del self._groups[group]

    def _sweep(self, finish: Callable[[Key, Changed], None]) -> int:
        now = now_ms()
        expired = [key for key, end in self._expiring.items() if end <= now][:SWEEP_SIZE]
        for key in expired:
            entry = self._groups[key[:-1]][key[-1]].entry
            self._forget(key)
            finish(key, Changed(entry, None))
        return len(expired)


def _done(result: Callable[[], T]) -> Deferred[T]:
    """Return the outcome of something that is done at once."""
    outcome: Deferred[T] = Deferred()
    try:
        outcome.resolve(result())
    except EngineError as error:
        outcome.reject(error)
    return outcome
