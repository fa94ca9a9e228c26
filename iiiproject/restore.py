"""`iii restore`: fills the database of a stopped engine from a file of `iii backup`, or not at all.

On SQLite a new file is made beside the database and takes its name; on PostgreSQL everything
happens in one transaction.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models import AutoField, Model

import engine
from engine.core.errors import EngineError
from iiiproject.backup_file import (
    COMPANIONS,
    COUNTERS,
    FORMAT,
    MADE_AT_START,
    MARK,
    NODES,
    VERSIONED,
    BackupError,
    Migration,
    Origin,
    columns_of,
    count_rows,
    failing_as,
    kept_models,
    migrate_file,
    next_versions,
    opened,
    partial,
    readable,
    rows_of,
    rows_text,
    set_next_versions,
    sqlite_database,
    standing_in,
    sync,
    unknown_migrations,
)
from iiiproject.check import print_error
from iiiproject.data_dir import locked
from iiiproject.databases import ENGINE_APPS
from iiiproject.migrations import describe_database, is_embedded, plain_connection, unapplied
from iiiproject.serve import choose_data_dir, set_up_django
from iiiproject.terminal import Progress

BACKUP: Final = "backup"
"""The alias of the file that is read."""

LOCK_TIMEOUT: Final = "10s"
"""How long PostgreSQL waits for whoever uses the tables."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that this program can read.

    Attributes:
        path: the file.
        is_current: it has the tables as this program has them.
        rows: how many, by table.
        next_versions: by store.
        last_keys: of tables whose keys are counted.
    """

    path: Path
    origin: Origin
    is_current: bool
    rows: dict[str, int]
    next_versions: dict[str, int]
    last_keys: dict[str, int]


def restore(file: Path, *, data_dir: Path | None, replaces: bool) -> int:
    """Restore a backup; return the exit code of the process.

    Args:
        file: made by `iii backup`.
        data_dir: `--data-dir`.
        replaces: `--force`: what the database holds may be lost.
    """
    progress = Progress(sys.stderr)
    try:
        directory = choose_data_dir(data_dir)
        with locked(directory):
            set_up_django(directory)
            backup = _inspect(file)
            with failing_as(f"{file} cannot be restored to {describe_database()}"):
                if is_embedded():
                    _into_sqlite(backup, replaces=replaces)
                else:
                    _into_postgres(backup, directory, progress, replaces=replaces)
    except EngineError as error:
        progress.clear()
        print_error(error)
        return 1
    progress.clear()
    origin = backup.origin
    print(
        f"{describe_database()}: {rows_text(backup.rows)}, as they were in "
        f"{origin.database} at {origin.created_at}"
    )
    return 0


# --- the file ---------------------------------------------------------------------------------


def _inspect(file: Path) -> Backup:
    """Look whether a file can be restored.

    Raises:
        BackupError: it is no backup, damaged, or of a newer engine.
    """
    path = file.absolute()
    if not path.is_file():
        raise BackupError(f"{file}: there is no such file")
    with failing_as(f"{file} cannot be read"), opened(readable(path, is_fixed=True)) as connection:
        origin = _origin(file, connection)
        ((verdict, *_), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise BackupError(f"{file} is damaged: {verdict}")
        applied = set(connection.execute("SELECT app, name FROM django_migrations"))
        if unknown := unknown_migrations(applied):
            raise BackupError(
                f"{file} was written by the newer engine {origin.engine_version} "
                f"({', '.join(unknown)} unknown to {engine.__version__}): restore it with that one"
            )
        return Backup(
            path,
            origin,
            is_current=_is_current(applied),
            rows=count_rows(connection),
            next_versions=next_versions(connection),
            last_keys=dict(connection.execute("SELECT name, seq FROM sqlite_sequence")),
        )


def _origin(file: Path, connection: sqlite3.Connection) -> Origin:
    try:
        columns = "format, engine_version, created_at, database"
        row = connection.execute(f"SELECT {columns} FROM {MARK}").fetchone()
    except sqlite3.DatabaseError:
        row = None
    if row is None:
        raise BackupError(f"{file} is no file of `iii backup`")
    format_, *rest = row
    origin = Origin(*rest)
    if format_ != FORMAT:
        raise BackupError(
            f"{file} has the format {format_}, this engine knows {FORMAT} only: restore it with "
            f"the engine {origin.engine_version} that wrote it"
        )
    return origin


def _is_current(applied: set[Migration]) -> bool:
    leaves = MigrationLoader(None).graph.leaf_nodes()
    return applied.issuperset(leaf for leaf in leaves if leaf[0] in ENGINE_APPS)


# --- to SQLite --------------------------------------------------------------------------------


def _into_sqlite(backup: Backup, *, replaces: bool) -> None:
    path = Path(settings.DATABASES["default"]["NAME"])
    versions = _beyond(backup.next_versions, _former_versions(path, replaces=replaces))
    with partial(path) as new:
        shutil.copyfile(backup.path, new)
        _make_ours(new)
        migrate_file(new)
        with opened(new) as connection:
            connection.execute(f"DROP TABLE {MARK}")
            set_next_versions(connection, versions)
        sync(new)
        _swap(new, path)
        sync(path.parent)


def _former_versions(path: Path, *, replaces: bool) -> dict[str, int]:
    """Return how far the present database has counted.

    Raises:
        BackupError: it holds rows, or cannot be read, and may not be replaced.
    """
    if not path.exists():
        return {}
    try:
        with opened(readable(path)) as connection:
            counted = count_rows(connection).items()
            rows = sum(count for table, count in counted if table not in MADE_AT_START)
            versions = next_versions(connection)
    except sqlite3.Error as error:
        if not replaces:
            raise BackupError(
                f"the database {path} cannot be read ({error}): replace it with --force"
            ) from error
        return {}
    _insist_on_empty(rows, replaces=replaces)
    return versions


def _insist_on_empty(rows: int, *, replaces: bool) -> None:
    if rows and not replaces:
        raise BackupError(
            f"{describe_database()} holds {rows:,} rows already: replace them with --force"
        )


def _beyond(versions: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    """Return versions that neither has used: those of lost entries are not used again either."""
    return {
        store: max(versions.get(store, 1), others.get(store, 1)) for store in {*versions, *others}
    }


def _make_ours(new: Path) -> None:
    """Give the file to the owner of the directory: root may restore what others use."""
    if os.geteuid() == 0:
        owner = new.parent.stat()
        os.chown(new, owner.st_uid, owner.st_gid)


def _swap(new: Path, path: Path) -> None:
    """Put the new database in the place of the former, which nobody may use meanwhile.

    The write-ahead log goes first: SQLite would play that of the former into the new one.
    """
    if path.exists():
        try:
            with _alone(path):
                os.replace(new, path)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BackupError(f"another process uses {path}: stop it first") from error
        except sqlite3.DatabaseError:
            pass  # damaged, and to be replaced for that reason
    for each in COMPANIONS:
        path.with_name(path.name + each).unlink(missing_ok=True)
    os.replace(new, path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Fold the write-ahead log of a database into it, and keep everybody out."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


# --- to PostgreSQL ----------------------------------------------------------------------------


def _into_postgres(backup: Backup, directory: Path, progress: Progress, *, replaces: bool) -> None:
    if waiting := unapplied("default"):
        raise BackupError(
            f"{len(waiting)} migrations are not applied to {describe_database()}: "
            "run `iii migrate` first"
        )
    with (
        _brought_up_to_date(backup, directory) as name,
        standing_in(sqlite_database(BACKUP, name), BACKUP),
        standing_in(plain_connection("default"), "default"),
        transaction.atomic(using="default"),
    ):
        models = kept_models(apps)
        _keep_engines_out()
        _insist_on_empty(_count(models), replaces=replaces)
        tables = ", ".join(f'"{each}"' for each in (*map(_table, models), NODES, COUNTERS))
        _execute(f"TRUNCATE {tables}")
        for model in models:
            _copy_table(model, progress)
            _count_on(model, backup.last_keys)
        for store, table in VERSIONED.items():
            last = backup.next_versions[store] - 1
            _raise_sequence(f"{table}_version", last)
            _raise_sequence(_sequence_of(table, "position"), last)


@contextmanager
def _brought_up_to_date(backup: Backup, directory: Path) -> Iterator[str]:
    """Give the name of the file, or of a copy that has the tables of this program."""
    if backup.is_current:
        yield readable(backup.path, is_fixed=True)
        return
    with partial(directory / backup.path.name) as copy:
        shutil.copyfile(backup.path, copy)
        migrate_file(copy)
        yield readable(copy, is_fixed=True)


def _keep_engines_out() -> None:
    """Refuse if an engine lives; let none begin before this transaction is over.

    Raises:
        BackupError: an engine holds a lease.
    """
    from engine.models import NODE_LEASE, live_nodes

    _execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    # An engine's first statement inserts a row here.
    _execute(f"LOCK TABLE {NODES} IN ACCESS EXCLUSIVE MODE")
    if nodes := [f"{node} on engine {node.version}" for node in live_nodes()]:
        raise BackupError(
            f"an engine uses {describe_database()} ({'; '.join(nodes)}): stop it; one that was "
            f"killed counts as running for {NODE_LEASE.seconds} s"
        )


def _count(models: list[type[Model]]) -> int:
    counted = (each for each in models if _table(each) not in MADE_AT_START)
    return sum(model._base_manager.using("default").count() for model in counted)


def _table(model: type[Model]) -> str:
    return model._meta.db_table


def _copy_table(model: type[Model], progress: Progress) -> None:
    database = connections["default"]
    sql = f'COPY "{_table(model)}" ({columns_of(model)}) FROM STDIN'
    with database.cursor() as cursor, database.wrap_database_errors, cursor.copy(sql) as copy:
        for row in rows_of(model, BACKUP, database, progress):
            copy.write_row(row)


def _count_on(model: type[Model], last_keys: dict[str, int]) -> None:
    """Let keys be counted behind those that are there, and behind all that SQLite remembers."""
    key = model._meta.pk
    table = _table(model)
    if isinstance(key, AutoField):
        there: int = _execute(f'SELECT coalesce(max("{key.column}"), 0) FROM "{table}"')
        last = max(there, last_keys.get(table, 0))
        _raise_sequence(_sequence_of(table, key.column), last)


def _sequence_of(table: str, column: str | None) -> str:
    sequence: str = _execute("SELECT pg_get_serial_sequence(%s, %s)", (f'"{table}"', column))
    return sequence


def _raise_sequence(sequence: str, last: int) -> None:
    """Let a sequence go on behind a number and behind all that it has given out.

    It does so even if the transaction fails: then some numbers are lost, which hurts nobody.
    """
    if last > 0:
        _execute(
            f"SELECT setval(%s::regclass, greatest(%s, last_value)) FROM {sequence}",
            (sequence, last),
        )


def _execute(sql: str, parameters: tuple[Any, ...] = ()) -> Any:
    with connections["default"].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0] if cursor.description else None
