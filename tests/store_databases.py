"""Databases with the tables of the stores: each fresh, beside those of the settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import psycopg
from django.db import connections, models
from psycopg import sql

from engine.models import (
    Delivery,
    EngineNode,
    IdempotencyKey,
    OutboxMessage,
    Queue,
    QueueSubscription,
    Schedule,
    ScheduleOwner,
    Tick,
)
from kv.models import KvEntry, StateEntry, VersionCounter
from streams.models import StreamItem

MODELS: tuple[type[models.Model], ...] = (
    StateEntry,
    KvEntry,
    StreamItem,
    VersionCounter,
    EngineNode,
    Queue,
    QueueSubscription,
    Delivery,
    IdempotencyKey,
    OutboxMessage,
    Schedule,
    ScheduleOwner,
    Tick,
)

_numbers = itertools.count(1)


@contextmanager
def database(options: dict[str, Any]) -> Iterator[str]:
    """Register a database with the tables of the stores; give its alias.

    On PostgreSQL it is a new one of the server that the options name.
    """
    number = next(_numbers)
    alias = f"stores-{number}"
    if options["ENGINE"].endswith("postgresql"):
        options = {**options, "NAME": _new_database(options, f"stores_{number}")}
    configured = connections.configure_settings({"default": {}, alias: options})
    connections.settings[alias] = configured[alias]
    with connections[alias].schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
        for app in ("kv", "streams"):
            import_module(f"{app}.migrations.0002_postgres").create(None, editor)
        for room in (
            "kv.migrations.0004_room_for_updates",
            "streams.migrations.0003_room_for_updates",
        ):
            import_module(room).leave_room(None, editor)
    try:
        yield alias
    finally:
        connections[alias].close()
        close_pool = getattr(connections[alias], "close_pool", None)
        if close_pool is not None:
            close_pool()
        del connections[alias]
        del connections.settings[alias]


def _new_database(options: dict[str, Any], name: str) -> str:
    with psycopg.connect(
        host=options["HOST"],
        port=options["PORT"],
        user=options["USER"],
        dbname=options["NAME"],
        autocommit=True,
    ) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return name
