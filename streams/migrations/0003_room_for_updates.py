"""Room in the pages of PostgreSQL for the next version of items, as for the entries of `kv`."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLE = "streams_streamitem"

FILLED_PERCENT = 50


def leave_room(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fill new pages by half."""
    if editor.connection.vendor == "postgresql":
        editor.execute(f"ALTER TABLE {TABLE} SET (fillfactor = {FILLED_PERCENT})")


def fill(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fill new pages, as PostgreSQL does by default."""
    if editor.connection.vendor == "postgresql":
        editor.execute(f"ALTER TABLE {TABLE} RESET (fillfactor)")


class Migration(migrations.Migration):
    """See the module."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("streams", "0002_postgres")]

    operations: ClassVar[list[migrations.RunPython]] = [migrations.RunPython(leave_room, fill)]
