"""The tables of entries as the executor reads and writes them, one class for each database.

Two statements for each batch, reading and writing the touched rows, are plain SQL behind the
models: through the models they cost several times as much.
"""

from __future__ import annotations

import builtins
import zlib
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

from django.db import IntegrityError, models

from kv.entries import Entry, Item
from kv.stores.base import Group, Groups, Key
from kv.stores.cache import RowCache
from kv.stores.connection import StoreConnection
from kv.stores.executor import Table

VERSIONS_RESERVED: Final = 100_000
"""How many versions SQLite's counter is ahead at least after it was written."""

_COUNTERS: Final = "kv_versioncounter"

LOCK_CLASS: Final = 0x6969_6900
"""Our part of PostgreSQL's advisory locks; the last byte tells tables apart."""

LOCKS: Final = 1024
"""Keys share so many advisory locks: PostgreSQL's lock table is not large."""


class EntryTable(Table[Key, Entry]):
    """The rows of one model of entries.

    Args:
        model: `StateEntry`, `KvEntry` or `StreamItem`.
        columns: those of the keys: `scope` and `key`.
        store: the name under which its versions are counted.
        cache: where committed rows are kept; None where other engines write too.
    """

    def __init__(
        self,
        model: type[models.Model],
        columns: tuple[str, ...],
        store: str,
        cache: RowCache[Key, Entry] | None = None,
    ) -> None:
        super().__init__(model._meta.db_table)
        self.columns = tuple(f'"{column}"' for column in columns)
        self.store = store
        self.cache = cache

    @abstractmethod
    def prepare(self, connection: StoreConnection) -> None:
        """Get ready to hand out versions; called once, in a transaction."""

    @abstractmethod
    def begin(self, connection: StoreConnection, keys: Sequence[Key], changes: int) -> None:
        """Lock keys, and get versions for so many changes."""

    @abstractmethod
    def next_version(self) -> int:
        """Return a version that no entry ever had."""

    def read(self, connection: StoreConnection, keys: Sequence[Key]) -> dict[Key, Entry]:
        """Return the rows of these keys, expired ones too, from the cache as far as it knows."""
        cache = self.cache
        if cache is None:
            return self._select(connection, keys)
        rows: dict[Key, Entry] = {}
        missing: list[Key] = []
        for key in keys:
            entry = cache.get(key, _NOT_CACHED)
            if entry is _NOT_CACHED:
                missing.append(key)
            elif entry is not None:
                rows[key] = entry
        if missing:
            rows.update(self._select(connection, missing))
        return rows

    @abstractmethod
    def _select(self, connection: StoreConnection, keys: Sequence[Key]) -> dict[Key, Entry]:
        """Return the rows of these keys from the database."""

    # Queries, each in one statement; expired entries are never in an answer.

    _mark: ClassVar[str]
    """The driver's placeholder."""

    _bytes: ClassVar[str]
    """How a value is selected."""

    @abstractmethod
    def _with_prefix(self, prefix: str) -> tuple[str, builtins.list[Any]]:
        """Return a condition on the last name of the key, and its parameters."""

    def list(
        self,
        connection: StoreConnection,
        group: Group,
        prefix: str,
        after: int,
        limit: int | None,
        now: int,
    ) -> builtins.list[Item]:
        """Return the entries of a group in the order of insertion, see `Store.list`."""
        mark = self._mark
        sql = (
            f"SELECT position, {self.columns[-1]}, {self._bytes} FROM {self.name} "
            f"WHERE {self._equal(self.columns[:-1])} "
            f"AND position > {mark} AND (expires_at IS NULL OR expires_at > {mark})"
        )
        parameters: builtins.list[Any] = [*group, after, now]
        if prefix:
            condition, more = self._with_prefix(prefix)
            sql += f" AND {condition}"
            parameters += more
        sql += " ORDER BY position"
        if limit is not None:
            sql += f" LIMIT {mark}"
            parameters.append(limit)
        return [
            Item(position, name, value if isinstance(value, bytes) else value.encode())
            for position, name, value in connection.fetch(sql, parameters)
        ]

    def _equal(self, columns: Sequence[str]) -> str:
        """Return the condition that columns are equal to as many parameters."""
        return " AND ".join(f"{column} = {self._mark}" for column in columns)

    def groups(self, connection: StoreConnection, under: Group, now: int) -> Groups:
        """Return the groups that have entries and begin with `under`, sorted by code point."""
        condition = f"(expires_at IS NULL OR expires_at > {self._mark})"
        if under:
            condition = f"{self._equal(self.columns[: len(under)])} AND {condition}"
        found = connection.fetch(
            f"SELECT DISTINCT {', '.join(self.columns[:-1])} FROM {self.name} WHERE {condition}",
            (*under, now),
        )
        return sorted(found)

    def names_with_prefix(
        self, connection: StoreConnection, prefix: str, group: Group | None, now: int
    ) -> builtins.list[str]:
        """Return the names with a prefix, of one group or of all, each once, sorted."""
        mark = self._mark
        condition, parameters = self._with_prefix(prefix)
        if group is not None:
            condition += f" AND {self._equal(self.columns[:-1])}"
            parameters += group
        found = connection.fetch(
            f"SELECT DISTINCT {self.columns[-1]} FROM {self.name} WHERE {condition} "
            f"AND (expires_at IS NULL OR expires_at > {mark})",
            [*parameters, now],
        )
        return sorted(name for (name,) in found)

    def expired(self, connection: StoreConnection, now: int, limit: int) -> builtins.list[Key]:
        """Return the keys of expired entries, the oldest end first."""
        return connection.fetch(
            f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE expires_at <= {self._mark} "
            f"ORDER BY expires_at LIMIT {self._mark}",
            (now, limit),
        )

    def next_expiry(self, connection: StoreConnection) -> int | None:
        """Return the earliest end of an entry."""
        end: int | None = connection.fetch(
            f"SELECT min(expires_at) FROM {self.name} WHERE expires_at IS NOT NULL"
        )[0][0]
        return end

    def committed(self, rows: Mapping[Key, Entry | None]) -> None:
        """Keep what is in the database now."""
        if self.cache is not None:
            self.cache.put(rows)

    def forget(self) -> None:
        """Empty the cache: somebody else has written, or a batch was rolled back."""
        if self.cache is not None:
            self.cache.clear()


_NOT_CACHED: Final = Entry(b"", -1)
_LAST: Final = chr(0x10FFFF)


class SqliteEntries(EntryTable):
    """Entries in SQLite, whose only writer is this process.

    Versions are counted in memory, and positions of new rows by the same counter. In the database
    stands a number that is far ahead of them, so that a start after a crash needs to know no more
    than that, and few commits write it.
    """

    _mark = "?"
    _bytes = "CAST(value AS BLOB)"

    def __init__(
        self,
        model: type[models.Model],
        columns: tuple[str, ...],
        store: str,
        cache: RowCache[Key, Entry] | None = None,
    ) -> None:
        super().__init__(model, columns, store, cache)
        self._next = self._reserved = self._unconfirmed = 1
        self._knows_positions = False

    def prepare(self, connection: StoreConnection) -> None:
        """Go on behind every version that may have been handed out."""
        connection.execute(
            f"INSERT OR IGNORE INTO {_COUNTERS} (store, next_version) VALUES (?, 1)",
            (self.store,),
        )
        found = connection.fetch(
            f"SELECT next_version FROM {_COUNTERS} WHERE store = ?", (self.store,)
        )
        self._next = self._reserved = self._unconfirmed = found[0][0]

    def begin(self, connection: StoreConnection, keys: Sequence[Key], changes: int) -> None:
        """Lock nothing; count on behind others' rows, and reserve versions if they run out."""
        if not self._knows_positions:
            self._pass_positions(connection)
        needed = 2 * changes  # a version and perhaps a position for each
        if self._next + needed > self._reserved:
            reserved = self._next + needed + VERSIONS_RESERVED
            connection.execute(
                f"UPDATE {_COUNTERS} SET next_version = ? WHERE store = ?",
                (reserved, self.store),
            )
            self._unconfirmed = reserved

    def _pass_positions(self, connection: StoreConnection) -> None:
        """Count on behind the rows that somebody else has inserted."""
        ((last,),) = connection.fetch(f"SELECT max(position) FROM {self.name}")
        self._next = max(self._next, (last or 0) + 1)
        self._knows_positions = True

    def committed(self, rows: Mapping[Key, Entry | None]) -> None:
        """Keep what is in the database now, the reserved versions too."""
        super().committed(rows)
        self._reserved = max(self._reserved, self._unconfirmed)

    def forget(self) -> None:
        """Empty the cache, and trust no reservation that may have been rolled back."""
        super().forget()
        self._unconfirmed = self._reserved
        self._knows_positions = False

    def next_version(self) -> int:
        """Count on; a number of a transaction that failed is lost."""
        version = self._next
        self._next = version + 1
        return version

    def _select(self, connection: StoreConnection, keys: Sequence[Key]) -> dict[Key, Entry]:
        sql = _sqlite_select(self.name, self.columns, len(keys))
        parameters = [name for key in keys for name in key]
        return {
            tuple(key): Entry(value, version, expires_at, position)
            for *key, value, version, expires_at, position in connection.fetch(sql, parameters)
        }

    def write(self, connection: StoreConnection, rows: Mapping[Key, Entry]) -> None:
        """Insert or update rows; a row that is there keeps its position."""
        parameters: list[Any] = []
        for key, entry in rows.items():
            if not entry.position:
                entry.position = self._next
                self._next += 1
            # The driver is quicker with text, as long as it is ASCII, than with bytes.
            value = entry.value.decode()
            parameters += entry.position, *key, value, entry.version, entry.expires_at
        width = len(self.columns) + 4
        for start in range(0, len(parameters), width * _STATEMENT_ROWS[-1]):
            portion = parameters[start : start + width * _STATEMENT_ROWS[-1]]
            size = count = len(portion) // width
            if len(portion[-3]) <= _SPARE_CHARACTERS:
                size = _STATEMENT_ROWS[bisect_left(_STATEMENT_ROWS, count)]
                # A row that is written twice is the same.
                portion += portion[-width:] * (size - count)
            written = connection.execute(_sqlite_upsert(self.name, self.columns, size), portion)
            if written < size:
                raise IntegrityError(f"a row of {self.name} is not where it was")

    def delete(self, connection: StoreConnection, keys: Sequence[Key]) -> None:
        """Delete rows."""
        sql = f"DELETE FROM {self.name} WHERE {self._equal(self.columns)}"
        connection.execute_many(sql, keys)

    def _with_prefix(self, prefix: str) -> tuple[str, builtins.list[Any]]:
        # A range of the index; LIKE and GLOB have characters of their own.
        name = self.columns[-1]
        return f"{name} >= ? AND {name} <= ?", [prefix, f"{prefix}{_LAST * 2}"]


# How many rows a statement may have. One for many rows is a third cheaper than one for each, and
# leaves the interpreter to the event loop all the while. Only a few sizes exist, with at most a
# third to spare: the driver keeps the statements prepared.
_STATEMENT_ROWS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# Rows are written twice for that up to this size of their values.
_SPARE_CHARACTERS: Final = 1_024


@lru_cache(maxsize=64)
def _sqlite_upsert(table: str, columns: tuple[str, ...], count: int) -> str:
    # A row that is there is found by its position: no index is searched, and pages stay unread.
    # It is seen to be the right one nevertheless: another's value must not be lost.
    key = ", ".join(columns)
    is_same = " AND ".join(f"{table}.{column} = excluded.{column}" for column in columns)
    row = f"({', '.join('?' * (len(columns) + 4))})"
    return (
        f"INSERT INTO {table} (position, {key}, value, version, expires_at) "
        f"VALUES {', '.join([row] * count)} "
        "ON CONFLICT (position) DO UPDATE SET value = excluded.value, "
        f"version = excluded.version, expires_at = excluded.expires_at WHERE {is_same}"
    )


@lru_cache(maxsize=128)
def _sqlite_select(table: str, columns: tuple[str, ...], count: int) -> str:
    # `(a, b) IN (VALUES …)` would scan the table; this searches its unique index.
    names = ", ".join(_aliases(columns))
    row = f"({', '.join('?' * len(columns))})"
    return (
        f"WITH wanted({names}) AS (VALUES {', '.join([row] * count)}) "
        f"SELECT {', '.join(columns)}, CAST(value AS BLOB), version, expires_at, position "
        f"FROM wanted CROSS JOIN {table} ON {_joined(columns)}"
    )


def _aliases(columns: tuple[str, ...]) -> list[str]:
    """Return names for the columns of a key that rows are joined with."""
    return [f"wanted_{number}" for number in range(len(columns))]


def _joined(columns: tuple[str, ...]) -> str:
    pairs = zip(columns, _aliases(columns), strict=True)
    return " AND ".join(f"{column} = {alias}" for column, alias in pairs)


class PostgresEntries(EntryTable):
    """Entries in PostgreSQL, where other engines may write at the same time.

    Arrays are sent in binary (`%b`): as text, the driver takes three times as long for them.
    """

    _mark = "%s"
    _bytes = "value"

    def __init__(self, model: type[models.Model], columns: tuple[str, ...], store: str) -> None:
        super().__init__(model, columns, store)
        self._versions: builtins.list[int] = []
        self._lock_class = LOCK_CLASS + zlib.crc32(self.name.encode()) % 256

    def prepare(self, connection: StoreConnection) -> None:
        """Do nothing: versions are counted by a sequence, which all engines share."""

    def _with_prefix(self, prefix: str) -> tuple[str, builtins.list[Any]]:
        return f"starts_with({self.columns[-1]}, %s)", [prefix]

    def next_version(self) -> int:
        """Return one of the versions that `begin` got."""
        return self._versions.pop()

    def begin(self, connection: StoreConnection, keys: Sequence[Key], changes: int) -> None:
        """Lock the keys, in one order everywhere, until the end of the transaction; get versions.

        Rows may not exist yet, so they cannot be locked themselves. The rows are read by a
        statement of its own afterwards: one that waited would still see the old ones.
        """
        locks = ",".join(map(str, sorted({_lock_of(key) for key in keys})))
        found = connection.fetch(
            # No number before all locks are held: versions of one entry grow from engine to engine.
            # What follows looks a few keys up, for which the planner would rather read a table of
            # medium size as a whole and hash it. Without parameters it is sent with the BEGIN.
            f"SELECT nextval('{self.name}_version') FROM "
            f"(SELECT count(pg_advisory_xact_lock({self._lock_class}, lock)), "
            "set_config('enable_hashjoin', 'off', true), "
            "set_config('enable_mergejoin', 'off', true) "
            f"FROM (SELECT unnest('{{{locks}}}'::int[]) AS lock ORDER BY 1) AS locks) AS held, "
            f"generate_series(1, {changes})"
        )
        self._versions = sorted((version for (version,) in found), reverse=True)

    def _select(self, connection: StoreConnection, keys: Sequence[Key]) -> dict[Key, Entry]:
        found = connection.fetch(
            f"SELECT {', '.join(self.columns)}, value, version, expires_at, position "
            f"FROM {self.name} "
            f"JOIN unnest({self._arrays}) AS wanted({', '.join(_aliases(self.columns))}) "
            f"ON {_joined(self.columns)}",
            _columns_of(keys),
        )
        return {
            tuple(key): Entry(value.encode(), version, expires_at, position)
            for *key, value, version, expires_at, position in found
        }

    @property
    def _arrays(self) -> str:
        """The placeholders of a key's columns."""
        return ", ".join(["%b::text[]"] * len(self.columns))

    def write(self, connection: StoreConnection, rows: Mapping[Key, Entry]) -> None:
        """Insert or update rows; a row that is there keeps its position."""
        present = {key: entry for key, entry in rows.items() if entry.position}
        if present and self._update(connection, present.values()) < len(present):
            present = {}  # somebody who heeds no lock has deleted some
        missing = {key: entry for key, entry in rows.items() if key not in present}
        if missing:
            self._insert(connection, missing)

    def _update(self, connection: StoreConnection, entries: Collection[Entry]) -> int:
        """Change rows by their positions, at half the cost of an insertion that finds them."""
        positions = [entry.position for entry in entries]
        return connection.execute(
            f"UPDATE {self.name} SET value = new.value, version = new.version, "
            "expires_at = new.expires_at "
            "FROM unnest(%b::bigint[], %b::text[], %b::bigint[], %b::bigint[]) "
            "AS new(position, value, version, expires_at) "
            f"WHERE {self.name}.position = new.position",
            [positions, *_contents_of(entries)],
        )

    def _insert(self, connection: StoreConnection, rows: Mapping[Key, Entry]) -> None:
        key = ", ".join(self.columns)
        connection.execute(
            f"INSERT INTO {self.name} ({key}, value, version, expires_at) "
            f"SELECT * FROM unnest({self._arrays}, %b::text[], %b::bigint[], %b::bigint[]) "
            f"ON CONFLICT ({key}) DO UPDATE SET value = excluded.value, "
            "version = excluded.version, expires_at = excluded.expires_at",
            [*_columns_of(rows), *_contents_of(rows.values())],
        )

    def delete(self, connection: StoreConnection, keys: Sequence[Key]) -> None:
        """Delete rows."""
        connection.execute(
            f"DELETE FROM {self.name} "
            f"USING unnest({self._arrays}) AS gone({', '.join(_aliases(self.columns))}) "
            f"WHERE {_joined(self.columns)}",
            _columns_of(keys),
        )


def _columns_of(keys: Iterable[Key]) -> list[list[str]]:
    """Return the names of keys, column by column."""
    return [list(names) for names in zip(*keys, strict=True)]


def _contents_of(entries: Collection[Entry]) -> list[list[Any]]:
    """Return values, versions and ends of entries, column by column."""
    return [
        [entry.value.decode() for entry in entries],
        [entry.version for entry in entries],
        [entry.expires_at for entry in entries],
    ]


def _lock_of(key: Key) -> int:
    # Python's own hash differs between processes.
    return zlib.crc32("\0".join(key).encode()) % LOCKS
