"""What PostgreSQL has beside the tables: version sequences, and views with values as jsonb."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLES = {"kv_stateentry": "scope", "kv_kventry": "index"}

# jsonb refuses what JSON text may hold (\u0000, numbers beyond numeric): such a value is null in
# the view, where without the function it would break every query of the view.
FUNCTION = """
CREATE FUNCTION kv_jsonb(value text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$
"""


def create(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create them on PostgreSQL."""
    if editor.connection.vendor != "postgresql":
        return
    editor.execute(FUNCTION)
    for table, group in TABLES.items():
        editor.execute(f"CREATE SEQUENCE {table}_version")
        editor.execute(
            f'CREATE VIEW {table}_json AS SELECT position, "{group}", key, '
            "kv_jsonb(value) AS value, version, "
            "to_timestamp(expires_at / 1000.0) AS expires_at "
            f"FROM {table} "
            "WHERE expires_at IS NULL OR expires_at > extract(epoch FROM clock_timestamp()) * 1000"
        )


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them again."""
    if editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        editor.execute(f"DROP VIEW {table}_json")
        editor.execute(f"DROP SEQUENCE {table}_version")
    editor.execute("DROP FUNCTION kv_jsonb(text)")


class Migration(migrations.Migration):
    """See the module."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("kv", "0001_initial")]

    operations: ClassVar[list[migrations.RunPython]] = [migrations.RunPython(create, drop)]
