"""Which database a model lives in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model

# What the engine keeps: on SQLite these have a single writer and a file of their own.
ENGINE_APPS = frozenset({"engine", "kv", "streams"})


class SystemRouter:
    """Sends everything but the engine's own tables to the `system` database, if there is one."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        """Name the database of a model."""
        return self._alias(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        """Name the database of a model."""
        return self._alias(model._meta.app_label)

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        """Allow relations inside one database only."""
        return self._alias(first._meta.app_label) == self._alias(second._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Create each table in its own database only."""
        return db == self._alias(app_label)

    def _alias(self, app_label: str) -> str:
        if app_label in ENGINE_APPS or "system" not in settings.DATABASES:
            return "default"
        return "system"
