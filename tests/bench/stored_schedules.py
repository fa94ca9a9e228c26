"""Schedules that are written past the engine: those of people, which no worker has to bring."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg

from iiiproject.environment import ENGINE_DATABASE

_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000

COLUMNS: Final = (
    "schedule_id",
    "origin",
    "function_id",
    "namespace",
    "expression",
    "timezone",
    "condition_function_id",
    "payload",
    "overlap",
    "misfire",
    "jitter_ms",
    "timeout_ms",
    "repeat_interrupted",
    "is_enabled",
    "is_paused",
    "next_at",
    "due_at",
    "planned",
    "pruned",
    "created_at",
)

Row = tuple[str | int | bool, ...]


def store_schedules(data: Path, database_url: str, schedules: int) -> None:
    """Put schedules into a migrated database: that of a data directory, or a PostgreSQL."""
    rows = schedule_rows(schedules, int(dt.datetime.now(dt.UTC).timestamp() * 1000))
    columns = ", ".join(COLUMNS)
    if database_url:
        with (
            psycopg.connect(database_url) as server,
            server.cursor() as cursor,
            cursor.copy(f"COPY engine_schedule ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    places = ", ".join("?" * len(COLUMNS))
    path = data / ENGINE_DATABASE
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(f"INSERT INTO engine_schedule ({columns}) VALUES ({places})", rows)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def schedule_rows(schedules: int, now_ms: int) -> Iterator[Row]:
    """Give rows of schedules that are due once a day, the first of them in twelve hours."""
    for number in range(schedules):
        at = (now_ms + 12 * _HOUR_MS + number * _HOUR_MS // schedules) // 1000 * 1000
        time = dt.datetime.fromtimestamp(at / 1000, dt.UTC)
        yield (
            f"stored-{number:07}",
            "person",
            f"shop::job{number % 100}",
            "",
            f"{time:%S %M %H} * * *",
            "UTC",
            "",
            "",
            "skip",
            "skip",
            0,
            0,
            False,
            True,
            False,
            at,
            at,
            0,
            0,
            now_ms - _DAY_MS,
        )
