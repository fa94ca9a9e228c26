"""The cache of committed rows: bounded, and it spares what is looked for."""

from __future__ import annotations

import pytest

from kv.stores import cache
from kv.stores.cache import ENTRY_COST, RowCache

ROWS = 10
ROW_BYTES = 100
UNKNOWN = b"unknown"


@pytest.fixture
def rows() -> RowCache[str, bytes]:
    """A cache for ROWS rows of ROW_BYTES."""
    return RowCache(ROWS * (ENTRY_COST + ROW_BYTES), lambda _, row: 0 if row is None else len(row))


def put(rows: RowCache[str, bytes], *keys: str) -> None:
    rows.put({key: bytes(ROW_BYTES) for key in keys})


def known(rows: RowCache[str, bytes], keys: list[str]) -> list[str]:
    return [key for key in keys if rows.get(key, UNKNOWN) is not UNKNOWN]


def test_the_first_rows_go_when_there_are_too_many(rows: RowCache[str, bytes]) -> None:
    keys = [f"k{number}" for number in range(ROWS + 3)]
    put(rows, *keys)
    assert known(rows, keys) == keys[3:]
    assert rows.size == ROWS * (ENTRY_COST + ROW_BYTES)


def test_a_row_that_was_looked_for_is_spared_once(rows: RowCache[str, bytes]) -> None:
    keys = [f"k{number}" for number in range(ROWS)]
    put(rows, *keys)
    rows.get("k0", None)
    put(rows, "new")
    assert len(rows) == ROWS
    put(rows, *[f"n{number}" for number in range(ROWS - 2)])
    assert known(rows, ["k0", "k1"]) == ["k0"]
    for number in range(2 * ROWS):  # it was looked for again: it goes at the second turn
        put(rows, f"m{number}")
    assert known(rows, ["k0"]) == []


def test_rows_that_all_were_looked_for_go_nevertheless(
    rows: RowCache[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_CHANCES", 3)
    keys = [f"k{number}" for number in range(ROWS)]
    put(rows, *keys)
    known(rows, keys)
    put(rows, "new")
    assert len(rows) == ROWS
    assert rows.size == ROWS * (ENTRY_COST + ROW_BYTES)


def test_a_row_that_changes_is_counted_once(rows: RowCache[str, bytes]) -> None:
    put(rows, "k")
    rows.put({"k": bytes(ROW_BYTES // 2)})
    assert (len(rows), rows.size) == (1, ENTRY_COST + ROW_BYTES // 2)
    rows.put({"k": None})
    assert rows.get("k", UNKNOWN) is None
    assert rows.size == ENTRY_COST
    rows.clear()
    assert (len(rows), rows.size) == (0, 0)
