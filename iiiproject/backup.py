"""`iii backup`: writes what the engine keeps into one SQLite file, while the engine runs.

Nothing is locked: on SQLite as on PostgreSQL it reads one snapshot beside the writer.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import AutoField, Model
from psycopg import IsolationLevel

import engine
from engine.core.errors import EngineError
from iiiproject.backup_file import (
    NODES,
    VERSIONED,
    BackupError,
    Migration,
    Origin,
    columns_of,
    count_rows,
    engine_tables,
    failing_as,
    kept_models,
    migrate_file,
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
from iiiproject.databases import ENGINE_APPS
from iiiproject.migrations import describe_database, is_embedded, plain_connection
from iiiproject.serve import choose_data_dir, set_up_django
from iiiproject.terminal import Progress, size_text

SOURCE: Final = "source"
"""The alias of the database that is read."""

PROGRESS_STEPS: Final = 100_000
"""After how many instructions of SQLite's machine the size is looked at: some milliseconds."""


def backup(file: Path, *, data_dir: Path | None, replaces: bool) -> int:
    """Write a backup; return the exit code of the process.

    Args:
        file: it is there when it is complete, and not before.
        data_dir: `--data-dir`.
        replaces: `--force`: the file may exist.
    """
    progress = Progress(sys.stderr)
    try:
        set_up_django(choose_data_dir(data_dir))
        path = file.absolute()
        _check_target(path, replaces=replaces)
        with failing_as(f"the backup {file} cannot be written"):
            rows = _write(path, progress)
            size = path.stat().st_size
    except EngineError as error:
        progress.clear()
        print_error(error)
        return 1
    progress.clear()
    print(f"{file}: {rows_text(rows)}, {size_text(size)}")
    return 0


def _check_target(path: Path, *, replaces: bool) -> None:
    for options in settings.DATABASES.values():
        name = Path(options["NAME"])
        if options["ENGINE"].endswith("sqlite3") and path.resolve() == name.resolve():
            raise BackupError(f"{path} is the database itself: name another file")
    if path.is_dir():
        raise BackupError(f"{path} is a directory: name a file in it")
    if path.exists() and not replaces:
        raise BackupError(f"{path} exists: name another file, or replace it with --force")


def _write(path: Path, progress: Progress) -> dict[str, int]:
    """Make the file; return how many rows it has, by table."""
    with partial(path) as new:
        # For its owner alone: what the engine keeps is nobody else's business.
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        created_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        if is_embedded():
            _copy_sqlite(new, progress)
        else:
            _copy_postgres(new, progress)
        with opened(new) as connection:
            database = "SQLite" if is_embedded() else "PostgreSQL"
            Origin(engine.__version__, created_at, database).write(connection)
            rows = count_rows(connection)
        sync(new)
        os.replace(new, path)
        sync(path.parent)
    return rows


# --- from SQLite ------------------------------------------------------------------------------


def _copy_sqlite(new: Path, progress: Progress) -> None:
    source = Path(settings.DATABASES["default"]["NAME"])
    if not source.exists():
        raise _nothing()

    def show() -> None:
        progress.show(size_text(new.stat().st_size))

    with opened(readable(source)) as connection:
        if not engine_tables(connection):
            raise _nothing()
        connection.set_progress_handler(show, PROGRESS_STEPS)
        # One statement, one snapshot; `backup()` in steps would start anew at each commit.
        connection.execute("VACUUM INTO ?", (str(new),))
    with opened(new) as connection:
        if NODES in engine_tables(connection):
            connection.execute(f"DELETE FROM {NODES}")


def _nothing() -> BackupError:
    return BackupError(f"there is nothing to back up: {describe_database()} has no tables")


# --- from PostgreSQL --------------------------------------------------------------------------


def _copy_postgres(new: Path, progress: Progress) -> None:
    source = plain_connection("default")
    source.settings_dict["OPTIONS"]["isolation_level"] = IsolationLevel.REPEATABLE_READ
    with standing_in(source, SOURCE), transaction.atomic(using=SOURCE):
        loader = MigrationLoader(source)
        targets = _newest_applied(loader)
        migrate_file(new, targets)
        models = kept_models(loader.project_state(targets).apps)
        ready_for = sqlite_database("target", str(new))
        with opened(new) as target:
            for model in models:
                _copy_table(model, target, ready_for, progress)
            set_next_versions(target, _next_versions(source))


def _newest_applied(loader: MigrationLoader) -> list[Migration]:
    """Return the state of the engine's tables: the last applied migrations of its apps."""
    applied = {each for each in loader.applied_migrations if each[0] in ENGINE_APPS}
    if not applied:
        raise _nothing()
    if unknown := unknown_migrations(applied):
        raise BackupError(
            f"{describe_database()} has tables of a newer engine ({', '.join(unknown)} unknown to "
            f"{engine.__version__}): back it up with that one"
        )
    in_graph = applied & set(loader.graph.nodes)
    return sorted(
        node for node in in_graph if not any(child in in_graph for child in _children(loader, node))
    )


def _children(loader: MigrationLoader, node: Migration) -> list[Migration]:
    children = [child.key for child in loader.graph.node_map[node].children]
    return [child for child in children if child[0] == node[0]]


def _copy_table(
    model: type[Model],
    target: sqlite3.Connection,
    ready_for: BaseDatabaseWrapper,
    progress: Progress,
) -> None:
    table = model._meta.db_table
    marks = ", ".join("?" * len(model._meta.concrete_fields))
    target.executemany(
        f'INSERT INTO "{table}" ({columns_of(model)}) VALUES ({marks})',
        rows_of(model, SOURCE, ready_for, progress),
    )
    if isinstance(model._meta.pk, AutoField) and (last := _last_key(table, model._meta.pk)):
        # Keys of rows that were deleted are not used again, there as here.
        target.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))


def _last_key(table: str, key: AutoField[Any, Any]) -> int | None:
    sequence = _fetch("SELECT pg_get_serial_sequence(%s, %s)", (f'"{table}"', key.column))
    last: int | None = _fetch(f"SELECT CASE WHEN is_called THEN last_value END FROM {sequence}")
    return last


def _next_versions(source: BaseDatabaseWrapper) -> dict[str, int]:
    # A sequence is outside of the snapshot and beyond it: later is higher.
    return {
        store: _fetch(f"SELECT last_value + is_called::int FROM {table}_version")
        for store, table in VERSIONED.items()
        if _fetch("SELECT to_regclass(%s)", (f"{table}_version",)) is not None
    }


def _fetch(sql: str, parameters: tuple[Any, ...] = ()) -> Any:
    with connections[SOURCE].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]
