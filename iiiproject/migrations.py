"""The tables of every database, before the engine uses them. Needs Django to be set up."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor

from engine.core.errors import StartError

CONNECT_TIMEOUT_S: Final = 5
"""How long a starting engine waits for PostgreSQL to answer at all."""


def prepare_databases() -> None:
    """Migrate embedded SQLite files; insist that PostgreSQL has been migrated.

    Raises:
        StartError: a database cannot be reached or used, or PostgreSQL has unapplied migrations.
    """
    for alias in connections:
        waiting = unapplied(alias)
        if not waiting:
            continue
        if connections[alias].vendor != "sqlite":
            raise StartError(
                f"{len(waiting)} migrations are not applied to {describe_database(alias)} "
                f"({', '.join(waiting[:3])}{', …' if len(waiting) > 3 else ''}): "
                "run `iii migrate` first"
            )
        _migrate(alias, verbosity=0)
    close_connections()


def migrate_all() -> None:
    """Bring every database up to date and say what is done.

    Raises:
        StartError: a database cannot be reached or used.
    """
    for alias in connections:
        unapplied(alias)
        print(describe_database(alias))
        _migrate(alias, verbosity=1)
    close_connections()


def describe_database(alias: str = "default") -> str:
    """Say where a database is: the path of a file, or `PostgreSQL name at host:port`."""
    options = settings.DATABASES[alias]
    if options["ENGINE"].endswith("sqlite3"):
        return str(options["NAME"])
    place = f"{options['HOST'] or 'localhost'}:{options['PORT'] or 5432}"
    return f"PostgreSQL {options['NAME']} at {place}"


def is_embedded() -> bool:
    """Tell whether the engine's own tables are in SQLite, which has one writer: the engine."""
    return bool(settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"))


def close_connections() -> None:
    """Close the connections of this thread: the engine's own threads open theirs."""
    connections.close_all()


def unapplied(alias: str) -> list[str]:
    """Name the migrations that a database waits for.

    Raises:
        StartError: it cannot be reached or used.
    """
    connection = plain_connection(alias)
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise unusable(alias, error) from error
    finally:
        connection.close()
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def plain_connection(alias: str) -> BaseDatabaseWrapper:
    """Make a connection outside the pool, which would hide why the database refuses."""
    connection = connections[alias].copy()
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"].pop("pool", None)
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    return connection


def _migrate(alias: str, *, verbosity: int) -> None:
    try:
        call_command("migrate", database=alias, interactive=False, verbosity=verbosity)
    except (DatabaseError, InconsistentMigrationHistory) as error:
        raise unusable(alias, error) from error


def unusable(alias: str, error: Exception) -> StartError:
    """Say which database failed, and why, in one line."""
    reason = " ".join(str(error).split())
    return StartError(f"the database {describe_database(alias)} cannot be used: {reason}")
