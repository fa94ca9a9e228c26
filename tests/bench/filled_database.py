"""A database of the engine's own making, filled with state entries past the engine.

A store of a million entries takes the engine a minute to set, and plain SQL some seconds; the rows
are the same.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from iiiproject.environment import ENGINE_DATABASE
from tests.bench.jobs import STORE_SCOPE, store_key
from tests.bench.payloads import Payload

# The index of a million keys that come in no order fits, so that no page is written twice.
_CACHE_KIB: Final = 128 * 1024
# A prime, and so a step that meets every key once unless the number of entries is a multiple.
_STEP: Final = 611_953

Row = tuple[str, str, str, int]
"""Scope, key, value and version."""


def fill(data: Path, entries: int, payload: Payload) -> None:
    """Put so many state entries into a migrated data directory of which no engine has hold.

    The file is on the disk afterwards: otherwise the engine's first checkpoint would wait for it.
    """
    path = data / ENGINE_DATABASE
    with closing(sqlite3.connect(path)) as connection, connection:
        # The engine sets both for itself when it opens the file.
        connection.executescript(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; "
            f"PRAGMA cache_size = -{_CACHE_KIB}"
        )
        connection.executemany(
            "INSERT INTO kv_stateentry (scope, key, value, version) VALUES (?, ?, ?, ?)",
            entry_rows(entries, payload),
        )
        connection.execute(
            "INSERT INTO kv_versioncounter (store, next_version) VALUES ('state', ?)",
            (entries + 1,),
        )
    with path.open("rb") as file:
        os.fsync(file.fileno())


def evict(data: Path) -> None:
    """Let the kernel forget what it has of a database, as a restart of the machine would.

    It forgets only what is on the disk: `fill` and an engine that stops leave nothing else.
    """
    with (data / ENGINE_DATABASE).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def entry_rows(entries: int, payload: Payload) -> Iterator[Row]:
    """Give the rows in an order that is not that of the keys: those of a real store come so."""
    value = payload.build().decode()
    for number in range(entries):
        yield STORE_SCOPE, store_key(number * _STEP % entries), value, number + 1
