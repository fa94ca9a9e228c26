"""The executor's connection: Django's own of the database thread, with what a store needs of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

# The driver looks each bytes and None that it binds over for a way to adapt it, and fails with two
# exceptions first: half a microsecond each. An adapter of the type is found before that.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), dict[None, None]().get)


class StoreConnection:
    """One database connection, used by one thread.

    Attributes:
        is_sqlite: whether this process is the only writer, and the database a file.
        patience_s: how long to wait, at most, for the lock that another process has on the file.
    """

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database
        self.is_sqlite = database.vendor == "sqlite"
        self.patience_s = float(database.settings_dict["OPTIONS"].get("timeout", 5.0))
        self._lock_wait_s: float | None = None
        self._is_to_begin = False
        self._data_version: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done within, or nothing of it; Django's models may be used within."""
        with transaction.atomic(using=self._database.alias):
            yield

    @contextmanager
    def plain_transaction(self, *, is_synced: bool = True) -> Iterator[None]:
        """Commit what is done within, past Django, which takes as long as the statements of a row.

        After an exception the transaction is open: `recover` has to follow.

        Args:
            is_synced: False if a power cut may undo it. SQLite then leaves it to the next commit
                that is synced to write both; PostgreSQL makes no difference.
        """
        if not self.is_sqlite:
            self._is_to_begin = True  # with the first statement, if that can be
            yield
            self.execute("COMMIT")
            return
        if not is_synced:
            self.execute("PRAGMA synchronous = NORMAL")
        self.execute("BEGIN IMMEDIATE")
        yield
        self.execute("COMMIT")
        if not is_synced:
            self.execute("PRAGMA synchronous = FULL")

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query past Django's cursor, with the driver's own placeholders; all its rows.

        Raises:
            django.db.DatabaseError: of the kinds that Django makes of the driver's errors.
        """
        is_to_begin = self._is_to_begin and not parameters
        if is_to_begin:
            # Sent together: the wait for an answer is one for the interpreter, too, which the
            # event loop has meanwhile.
            self._is_to_begin = False
            sql = f"BEGIN; {sql}"
        self._get_ready()
        with self._database.wrap_database_errors:
            cursor = self._open_cursor()
            try:
                cursor.execute(sql, parameters)
                if is_to_begin:
                    cursor.nextset()
                rows: list[tuple[Any, ...]] = cursor.fetchall()
            finally:
                cursor.close()
        return rows

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement past Django's cursor; return how many rows it has changed."""
        self._get_ready()
        with self._database.wrap_database_errors:
            cursor = self._open_cursor()
            try:
                cursor.execute(sql, parameters)
                changed: int = cursor.rowcount
            finally:
                cursor.close()
        return changed

    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> int:
        """Run one statement for each tuple of parameters; return how many rows have changed."""
        self._get_ready()
        with self._database.wrap_database_errors:
            cursor = self._open_cursor()
            try:
                cursor.executemany(sql, parameters)
                changed: int = cursor.rowcount
            finally:
                cursor.close()
        return changed

    def _get_ready(self) -> None:
        """Connect, and begin the transaction, as far as either is still to be done."""
        if self._database.connection is None:
            # Django's own look is behind one for an event loop, which raises where there is none.
            self._database.ensure_connection()
        if self._is_to_begin:
            self._is_to_begin = False
            self.execute("BEGIN")

    def _open_cursor(self) -> Any:
        connection = self._database.connection
        if self.is_sqlite:
            return connection.cursor()
        from psycopg import Cursor  # not loaded where it is not needed

        # Django's own writes the parameters into the statement: each is quoted here and parsed
        # there. This one sends them beside it, arrays in binary.
        return Cursor(connection)

    def was_written_elsewhere(self) -> bool:
        """Tell whether another process has written the file since this was last asked."""
        if not self.is_sqlite:
            return False
        (version,) = self.fetch("PRAGMA data_version")[0]
        former, self._data_version = self._data_version, version
        return bool(former != version)

    def wait_for_lock(self, seconds: float) -> None:
        """Wait so long, from now on, for the lock that another process has on the file."""
        if self.is_sqlite and seconds != self._lock_wait_s:
            self.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
            self._lock_wait_s = seconds

    def is_locked_out(self, error: Exception) -> bool:
        """Tell whether an error of this connection means that another process has the lock."""
        code: int = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return isinstance(error, OperationalError) and code & 0xFF == sqlite3.SQLITE_BUSY

    def recover(self) -> None:
        """Drop the connection after a failure; the next use opens another."""
        self._data_version = None
        self._lock_wait_s = None
        self._is_to_begin = False
        self._database.close()

    def close(self) -> None:
        """Close the connection at the end of its thread."""
        self._database.close()
