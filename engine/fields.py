"""Model fields of the engine's own tables."""

from __future__ import annotations

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class PositionField(models.BigAutoField):  # type: ignore[type-arg]
    """A number for each new row; on SQLite the writer gives it.

    AUTOINCREMENT would write one page more in every commit, a third of its cost. Without it
    SQLite may use a number of a deleted row again, which the writers of these tables do not.
    """

    def db_type_suffix(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return what makes it count by itself; nothing on SQLite."""
        return None if connection.vendor == "sqlite" else super().db_type_suffix(connection)
