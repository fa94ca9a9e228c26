"""What PostgreSQL makes of entries that are set over and over, and of hands that heed no lock."""

from __future__ import annotations

import asyncio

import pytest
from django.db import connections

from kv.entries import Changed, DeleteEntry, Entry, SetValue
from kv.stores.base import Key
from kv.stores.connection import StoreConnection
from kv.stores.database import DatabaseStore

KEYS = [("g", f"k{number:04d}") for number in range(500)]


@pytest.fixture
def alias(postgres_alias: str) -> str:
    return postgres_alias


async def put(store: DatabaseStore, key: Key, change: SetValue) -> Changed:
    return await store.change(key, change, lambda changed: changed)


async def put_all(store: DatabaseStore, value: bytes) -> None:
    await asyncio.gather(*(put(store, key, SetValue(value)) for key in KEYS))


async def values(store: DatabaseStore) -> list[bytes]:
    return [item.value for item in await store.list(("g",))]


def pages(connection: StoreConnection) -> int:
    sql = "SELECT pg_relation_size('kv_stateentry') / 8192"
    size: int = connection.fetch(sql)[0][0]
    return size


async def test_a_table_that_is_set_all_over_again_stays_as_large_as_it_is(
    store: DatabaseStore,
) -> None:
    reader = store._database.reader
    await put_all(store, b'"%b"' % (b"x" * 100))
    await put_all(store, b'"%b"' % (b"y" * 100))
    size = await reader.query(pages)

    for _ in range(20):
        await put_all(store, b'"%b"' % (b"z" * 100))

    assert await reader.query(pages) <= size + 2
    assert await values(store) == [b'"%b"' % (b"z" * 100)] * len(KEYS)


async def test_rows_that_somebody_deletes_while_they_are_changed_are_written(
    store: DatabaseStore, postgres_alias: str
) -> None:
    class PutAfterDeletion(SetValue):
        def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
            other = connections.create_connection(postgres_alias)
            with other.cursor() as cursor:
                cursor.execute("DELETE FROM kv_stateentry WHERE key = 'k0001'")
            other.close()
            return super().apply(old, now_ms, version)

    for key in KEYS[:3]:
        await put(store, key, SetValue(b"1"))

    await asyncio.gather(
        *(put(store, key, SetValue(b"2")) for key in KEYS[:2]),
        put(store, KEYS[2], PutAfterDeletion(b"2")),
    )

    assert sorted(await values(store)) == [b"2"] * 3


async def test_an_entry_deleted_and_set_in_one_batch_is_the_last_of_its_group(
    store: DatabaseStore,
) -> None:
    for key in KEYS[:2]:
        await put(store, key, SetValue(b'"old"'))

    await asyncio.gather(
        store.change(KEYS[0], DeleteEntry(), lambda changed: changed),
        put(store, KEYS[0], SetValue(b'"new"')),
    )

    assert await values(store) == [b'"old"', b'"new"']
