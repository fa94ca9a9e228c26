"""The file of `iii backup`: its marks, how it is opened, and how rows get in and out.

It is a SQLite file with the engine's own tables as Django's migrations make them on SQLite, the
table `django_migrations`, and a table of one row that says where it comes from.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

from django.apps.registry import Apps
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import DatabaseWrapper as SqliteWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

from engine.core.errors import EngineError
from iiiproject.databases import ENGINE_APPS
from iiiproject.terminal import Progress

FORMAT: Final = 1
MARK: Final = "iii_backup"
"""The table by which a backup is known."""

NODES: Final = "engine_enginenode"
COUNTERS: Final = "kv_versioncounter"
"""Counted by sequences on PostgreSQL, which leaves the table empty there."""

MADE_AT_START: Final = frozenset({"engine_queue", "engine_queuesubscription"})
"""Tables in which every engine has rows from its start on, those of its named queues."""

VERSIONED: Final = {
    "state": "kv_stateentry",
    "kv_server": "kv_kventry",
    "stream": "streams_streamitem",
}
"""The tables whose rows have versions, by the name under which these are counted."""

CHUNK_ROWS: Final = 100
"""How many rows are in memory at once; a value may have megabytes."""

COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file."""

Migration: TypeAlias = tuple[str, str]
"""App and name."""


class BackupError(EngineError):
    """A backup or a restore is refused or failed; nothing was changed."""

    code: ClassVar[str] = "backup_failed"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a backup comes from.

    Attributes:
        engine_version: of the program that wrote it.
        created_at: in UTC, ISO 8601.
        database: `SQLite` or `PostgreSQL`.
    """

    engine_version: str
    created_at: str
    database: str

    def write(self, connection: sqlite3.Connection) -> None:
        """Mark a file as a backup."""
        connection.execute(
            f"CREATE TABLE {MARK} (format INTEGER NOT NULL, engine_version TEXT NOT NULL, "
            "created_at TEXT NOT NULL, database TEXT NOT NULL)"
        )
        connection.execute(
            f"INSERT INTO {MARK} VALUES (?, ?, ?, ?)",
            (FORMAT, self.engine_version, self.created_at, self.database),
        )


# --- opening ----------------------------------------------------------------------------------


def readable(path: Path, *, is_fixed: bool = False) -> str:
    """Return the URI that opens a SQLite file for reading.

    Args:
        path: absolute.
        is_fixed: nobody changes the file meanwhile: no lock is taken, nothing put beside it.
    """
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if is_fixed else ''}"


@contextmanager
def opened(database: Path | str) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file, commit at the end.

    Args:
        database: a file that is thrown away after a failure, so it is written without syncs; or
            a URI from `readable`.
    """
    connection = sqlite3.connect(database, uri=isinstance(database, str))
    try:
        if isinstance(database, Path):
            connection.executescript("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")
        with connection:
            yield connection
    finally:
        connection.close()


def sqlite_database(alias: str, name: str) -> BaseDatabaseWrapper:
    """Make Django's connection to a SQLite file; the name may be a URI."""
    options = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
    if not name.startswith("file:"):
        pragmas = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
        options["OPTIONS"] = {"init_command": pragmas}  # type: ignore[assignment]
    settings = connections.configure_settings({"default": options})
    return SqliteWrapper(settings["default"], alias)


@contextmanager
def standing_in(database: BaseDatabaseWrapper, alias: str) -> Iterator[BaseDatabaseWrapper]:
    """Let an alias mean another database for a while, in this thread.

    Migrations and models ask for a database by alias; to the router `default` alone has the
    engine's tables.
    """
    database.alias = alias
    former = connections[alias] if alias in connections.settings else None
    connections[alias] = database
    try:
        yield database
    finally:
        database.close()
        if former is None:
            del connections[alias]
        else:
            connections[alias] = former


# --- migrations -------------------------------------------------------------------------------


def migrate_file(path: Path, targets: Iterable[Migration] | None = None) -> None:
    """Bring the engine's tables of a SQLite file to a state, by default the newest."""
    with standing_in(sqlite_database("default", str(path)), "default") as database:
        executor = MigrationExecutor(database)
        if targets is None:
            leaves = executor.loader.graph.leaf_nodes()
            targets = [leaf for leaf in leaves if leaf[0] in ENGINE_APPS]
        executor.migrate(list(targets))


def unknown_migrations(applied: Iterable[Migration]) -> list[str]:
    """Name those of the engine's migrations that this program does not have."""
    disk = MigrationLoader(None).disk_migrations
    known = {*disk, *(replaced for each in disk.values() for replaced in each.replaces)}
    unknown = {each for each in applied if each[0] in ENGINE_APPS} - known
    return [f"{app}.{name}" for app, name in sorted(unknown)]


# --- rows -------------------------------------------------------------------------------------


def kept_models(registry: Apps) -> list[type[Model]]:
    """Return the models whose rows are data of the engine: who runs now is none."""
    return [
        model
        for model in registry.get_models(include_auto_created=True)
        if model._meta.app_label in ENGINE_APPS
        and model._meta.managed
        and not model._meta.proxy
        and model._meta.db_table not in {NODES, COUNTERS}
    ]


def engine_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the tables of the engine's apps in a SQLite file."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in found if name.split("_")[0] in ENGINE_APPS]


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Count the rows of data in a SQLite file, by table."""
    return {
        table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
        for table in engine_tables(connection)
        if table not in {NODES, COUNTERS}
    }


def rows_text(rows: dict[str, int]) -> str:
    """Say how many rows there are, for people."""
    count = sum(rows.values())
    return f"{count:,} row{'' if count == 1 else 's'} in {len(rows)} tables"


def columns_of(model: type[Model]) -> str:
    """List the columns of a model for SQL."""
    return ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)


def rows_of(
    model: type[Model], source: str, target: BaseDatabaseWrapper, progress: Progress
) -> Iterator[list[Any]]:
    """Give all rows of a model in the order of their keys, with constant memory.

    Args:
        model: a model, or what it was at an earlier migration.
        source: the alias that they are read from.
        target: the database that they are made ready for.
        progress: where it is said how many there were.
    """
    fields = model._meta.concrete_fields
    query = model._base_manager.using(source).order_by("pk")
    found = query.values_list(*(field.attname for field in fields))
    for number, row in enumerate(found.iterator(chunk_size=CHUNK_ROWS), 1):
        yield [
            field.get_db_prep_save(value, target) for field, value in zip(fields, row, strict=True)
        ]
        if number % CHUNK_ROWS == 0:
            progress.show(f"{model._meta.db_table}: {number:,} rows")


def next_versions(connection: sqlite3.Connection) -> dict[str, int]:
    """Return for each store the first version beyond all that a SQLite file knows of.

    Positions count too: SQLite's entries have both from one counter, PostgreSQL's from two.
    """
    tables = engine_tables(connection)
    versions = dict.fromkeys(VERSIONED, 1)
    if COUNTERS in tables:
        versions |= dict(connection.execute(f"SELECT store, next_version FROM {COUNTERS}"))
    for store, table in VERSIONED.items():
        if table in tables:
            query = f"SELECT max(max(version), max(position)) FROM {table}"
            (last,) = connection.execute(query).fetchone()
            versions[store] = max(versions[store], (last or 0) + 1)
    return versions


def set_next_versions(connection: sqlite3.Connection, versions: dict[str, int]) -> None:
    """Let a SQLite file count versions from these on."""
    connection.executemany(
        f"INSERT OR REPLACE INTO {COUNTERS} (store, next_version) VALUES (?, ?)", versions.items()
    )


# --- files ------------------------------------------------------------------------------------


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a SQLite file and what is beside it, as far as it is there."""
    for each in ("", *COMPANIONS):
        path.with_name(path.name + each).unlink(missing_ok=True)


@contextmanager
def partial(target: Path) -> Iterator[Path]:
    """Give the name of a file beside the target that is gone at the end, whatever happens."""
    path = target.with_name(f".{target.name}.{os.getpid()}.partial")
    # Of a process with this number that was killed: in a container they are often the same.
    remove(path)
    try:
        yield path
    finally:
        with suppress(OSError):
            remove(path)


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Say what failed, and why, in one line.

    Raises:
        BackupError: a file or a database failed within.
    """
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what}: {error.strerror or error}") from error
    except (sqlite3.Error, DatabaseError) as error:
        raise BackupError(f"{what}: {' '.join(str(error).split())}") from error
