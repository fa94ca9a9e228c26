"""What PostgreSQL has beside the table: a version sequence, and a view with values as jsonb."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLE = "streams_streamitem"


def create(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create them on PostgreSQL."""
    if editor.connection.vendor != "postgresql":
        return
    editor.execute(f"CREATE SEQUENCE {TABLE}_version")
    editor.execute(
        f"CREATE VIEW {TABLE}_json AS SELECT position, stream_name, group_id, item_id, "
        "kv_jsonb(value) AS value, version, "
        "to_timestamp(expires_at / 1000.0) AS expires_at "
        f"FROM {TABLE} "
        "WHERE expires_at IS NULL OR expires_at > extract(epoch FROM clock_timestamp()) * 1000"
    )


def drop(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop them again."""
    if editor.connection.vendor != "postgresql":
        return
    editor.execute(f"DROP VIEW {TABLE}_json")
    editor.execute(f"DROP SEQUENCE {TABLE}_version")


class Migration(migrations.Migration):
    """See the module; `kv` has the function that the view uses."""

    dependencies: ClassVar[list[tuple[str, str]]] = [
        ("streams", "0001_initial"),
        ("kv", "0002_postgres"),
    ]

    operations: ClassVar[list[migrations.RunPython]] = [migrations.RunPython(create, drop)]
