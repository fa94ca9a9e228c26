"""Entries as rows: every answer comes after its commit."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from django.db import models

from engine.core.deferred import Deferred
from kv.clock import now_ms
from kv.entries import Change, Changed, Entry
from kv.stores.base import (
    SWEEP_SIZE,
    UNKNOWN,
    Group,
    Groups,
    Items,
    Key,
    Names,
    Store,
    Unknown,
)
from kv.stores.cache import RowCache
from kv.stores.executor import Executor, Operation
from kv.stores.tables import EntryTable, PostgresEntries, SqliteEntries

T = TypeVar("T")

CACHE_BYTES: Final = 64 * 1024 * 1024
"""What the committed entries of one store may take in memory."""

FRESH_S: Final = 0.1
"""How long the cache is trusted without asking whether another process has written the file."""


@dataclass(frozen=True, slots=True)
class Database:
    """The engine's database as everything durable uses it.

    Attributes:
        writer: commits whatever is written.
        reader: reads; the writer itself on SQLite, where the cache answers most reads.
        is_sqlite: whether this process is its only writer.
        description: where it is, for people.
        node_id: which of the engines on this database this process is.
    """

    writer: Executor
    reader: Executor
    is_sqlite: bool
    description: str
    node_id: uuid.UUID = field(default_factory=uuid.uuid4)

    @classmethod
    def open(cls, *, is_sqlite: bool, description: str, alias: str = "default") -> Database:
        """Make the executors; `start` starts them."""
        writer = Executor(alias, works_apart=not is_sqlite)
        reader = writer if is_sqlite else Executor(alias, works_apart=True)
        return cls(writer, reader, is_sqlite, description)

    def start(self) -> None:
        """Begin to work for the running loop."""
        self.writer.start()
        if self.reader is not self.writer:
            self.reader.start()

    async def stop(self) -> None:
        """Commit and answer what was accepted."""
        await self.writer.stop()
        if self.reader is not self.writer:
            await self.reader.stop()

    def entries(
        self, name: str, model: type[models.Model], columns: tuple[str, ...]
    ) -> DatabaseStore:
        """Return the store of a model; `columns` are those of its keys."""
        if self.is_sqlite:
            cache: RowCache[Key, Entry] = RowCache(CACHE_BYTES, _weigh)
            table: EntryTable = SqliteEntries(model, columns, name, cache)
        else:
            table = PostgresEntries(model, columns, name)
        return DatabaseStore(name, self, table)


class DatabaseStore(Store):
    """Entries in a table; reads come from a cache where this process is the only writer."""

    is_durable = True

    def __init__(self, name: str, database: Database, table: EntryTable) -> None:
        self.name = name
        self.place = database.description
        self.is_shared = not database.is_sqlite
        self._database = database
        self._table = table
        self._cache = table.cache
        self._unanswered: dict[Key, int] = {}

    async def start(self) -> None:
        """Learn from which version on to count."""
        self._database.writer.attach(self._table)
        await self._database.writer.run(self._table.prepare)

    def peek(self, key: Key) -> Entry | Unknown | None:
        """Return an entry from the cache, if it knows and is trusted."""
        cache = self._cache
        if cache is None or time.monotonic() - self._database.writer.checked_at > FRESH_S:
            return UNKNOWN
        entry = cache.get(key, _NOT_CACHED)
        if entry is _NOT_CACHED:
            return UNKNOWN
        return entry if entry is None or entry.is_live(now_ms()) else None

    def get(self, key: Key, finish: Callable[[Entry | None], T]) -> Deferred[T]:
        """Read an entry."""
        database = self._database
        # One connection's calls are handled in their order: a read behind a change that was not
        # waited for sees it.
        reader = database.writer if key in self._unanswered else database.reader
        return reader.submit(_Get(self._table, key, finish))

    def get_in_turn(self, key: Key, finish: Callable[[Entry | None], T]) -> Deferred[T]:
        """Read an entry in its turn among the changes, which the writer settles in their order."""
        return self._database.writer.submit(_Get(self._table, key, finish))

    def change(self, key: Key, change: Change, finish: Callable[[Changed], T]) -> Deferred[T]:
        """Change an entry."""
        size = change.size + sum(map(len, key))
        writer = self._database.writer
        if not self.is_shared:
            return writer.submit(_Change(self._table, key, size, change, finish))
        shared = _SharedChange(self._table, key, size, change, finish)
        shared.count_in(self._unanswered)
        return writer.submit(shared)

    @property
    def _lister(self) -> Executor:
        """What reads many entries: behind the changes that are on their way, if there are any."""
        return self._database.writer if self._unanswered else self._database.reader

    def list(
        self, group: Group, *, prefix: str = "", after: int = 0, limit: int | None = None
    ) -> Deferred[Items]:
        """Return entries in the order of insertion."""
        table = self._table
        return self._lister.query(
            lambda connection: table.list(connection, group, prefix, after, limit, now_ms())
        )

    def list_in_turn(self, group: Group, finish: Callable[[Items], T]) -> Deferred[T]:
        """Read all entries of a group in its turn among the changes."""
        table = self._table
        return self._database.writer.query(
            lambda connection: table.list(connection, group, "", 0, None, now_ms()), finish
        )

    def groups(self, under: Group = ()) -> Deferred[Groups]:
        """Return the groups that have entries."""
        table = self._table
        return self._lister.query(lambda connection: table.groups(connection, under, now_ms()))

    def names_with_prefix(self, prefix: str, group: Group | None) -> Deferred[Names]:
        """Return the names with a prefix."""
        table = self._table
        return self._lister.query(
            lambda connection: table.names_with_prefix(connection, prefix, group, now_ms())
        )

    async def sweep(self, finish: Callable[[Key, Changed], None]) -> int:
        """Delete expired entries."""
        table = self._table
        keys = await self._database.reader.query(
            lambda connection: table.expired(connection, now_ms(), SWEEP_SIZE)
        )
        writer = self._database.writer
        expiries = [writer.submit(_Expire(table, key, finish)) for key in keys]
        return sum([await each for each in expiries])

    def next_expiry(self) -> Deferred[int | None]:
        """Return when the next entry expires."""
        return self._database.reader.query(self._table.next_expiry)


class _Get(Operation[Key, Entry, T]):
    """Read an entry."""

    __slots__ = ("_entry", "_finish")
    reads_only = True

    def __init__(self, table: EntryTable, key: Key, finish: Callable[[Entry | None], T]) -> None:
        super().__init__(table, key)
        self._finish = finish
        self._entry: Entry | None = None

    def apply(self, row: Entry | None, now_ms: int) -> Entry | None:
        self._entry = row if row is not None and row.is_live(now_ms) else None
        return row

    def finish(self) -> T:
        return self._finish(self._entry)


class _Change(Operation[Key, Entry, T]):
    """Change an entry."""

    __slots__ = ("_change", "_changed", "_finish")

    def __init__(
        self,
        table: EntryTable,
        key: Key,
        size: int,
        change: Change,
        finish: Callable[[Changed], T],
    ) -> None:
        # Flat, past three constructors: one is made for every call.
        self.is_done = False
        self.error = self._value = self._callback = None
        self.table = table
        self.key = key
        self.size = size
        self._change = change
        self._finish = finish
        self._changed: Changed | None = None

    def apply(self, row: Entry | None, now_ms: int) -> Entry | None:
        old = row if row is not None and row.is_live(now_ms) else None
        table: EntryTable = self.table  # type: ignore[assignment]
        changed = self._changed = self._change.apply(old, now_ms, table.next_version())
        new = changed.new
        if new is not None and row is not None:
            new.position = row.position
        return new

    def finish(self) -> T:
        assert self._changed is not None
        return self._finish(self._changed)


class _SharedChange(_Change[T]):
    """A change where reads have a connection of their own: it is known until it is answered."""

    __slots__ = ("_counts",)

    def count_in(self, counts: dict[Key, int]) -> None:
        """Be known as on its way."""
        self._counts = counts
        counts[self.key] = counts.get(self.key, 0) + 1

    def resolve(self, value: T) -> None:
        self._count_out()
        super().resolve(value)

    def reject(self, error: Exception) -> None:
        self._count_out()
        super().reject(error)

    def _count_out(self) -> None:
        left = self._counts.pop(self.key) - 1
        if left:
            self._counts[self.key] = left


class _Expire(Operation[Key, Entry, int]):
    """Delete an entry that has expired; another one may have been written since it was found."""

    __slots__ = ("_gone", "_tell")

    def __init__(self, table: EntryTable, key: Key, tell: Callable[[Key, Changed], None]) -> None:
        super().__init__(table, key)
        self._tell = tell
        self._gone: Entry | None = None

    def apply(self, row: Entry | None, now_ms: int) -> Entry | None:
        self._gone = None
        if row is None or row.is_live(now_ms):
            return row
        self._gone = row
        return None

    def finish(self) -> int:
        if self._gone is None:
            return 0
        self._tell(self.key, Changed(self._gone, None))
        return 1


_NOT_CACHED: Final = Entry(b"", -1)


def _weigh(key: Key, entry: Entry | None) -> int:
    size = 0 if entry is None else len(entry.value)
    for name in key:
        size += len(name)
    return size
