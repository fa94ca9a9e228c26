"""Group commit on real databases: order, isolation of failures, bounds, foreign writers."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from django.db import connections

from kv.entries import Changed, Entry, SetValue
from kv.models import StateEntry
from kv.stores import executor as executor_module
from kv.stores.connection import StoreConnection
from kv.stores.database import Database, DatabaseStore
from kv.stores.executor import StoreError, StoreOverloaded, StoreUnavailable

KINDS = ("sqlite", "postgres")
TOO_LARGE = 2**70
"""A version that no database takes."""


@pytest.fixture(params=KINDS)
def alias(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_alias")
    return found


class Put(SetValue):
    """Put an entry with a version of the test's."""

    def __init__(self, value: bytes, chosen: int = 1) -> None:
        super().__init__(value)
        self.chosen = chosen

    def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
        return Changed(old, Entry(self.value, self.chosen))


async def put(store: DatabaseStore, key: str, change: SetValue) -> Changed:
    return await store.change(("g", key), change, lambda changed: changed)


async def value(store: DatabaseStore, key: str) -> bytes | None:
    return await store.get(("g", key), lambda entry: None if entry is None else entry.value)


async def test_a_row_that_the_database_refuses_fails_alone(store: DatabaseStore) -> None:
    keys = [f"k{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(
            put(store, key, Put(b"1", chosen=TOO_LARGE if key == "k7" else number + 1))
            for number, key in enumerate(keys)
        ),
        return_exceptions=True,
    )
    assert [isinstance(answer, StoreError) for answer in answers] == [key == "k7" for key in keys]
    assert [await value(store, key) for key in keys] == [
        None if key == "k7" else b"1" for key in keys
    ]


async def test_a_bug_in_an_operation_fails_it_alone(
    store: DatabaseStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Buggy(SetValue):
        def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
            raise ZeroDivisionError("on purpose")

    first, second = await asyncio.gather(
        put(store, "a", Buggy(b"1")), put(store, "b", SetValue(b"2")), return_exceptions=True
    )
    assert isinstance(first, StoreError)
    assert isinstance(second, Changed)
    assert "on purpose" in caplog.text


async def test_what_makes_the_answer_may_fail_after_the_commit(store: DatabaseStore) -> None:
    def broken(_: Changed) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.change(("g", "k"), SetValue(b"1"), broken)
    assert await value(store, "k") == b"1"


async def test_too_many_operations_are_refused_and_the_others_done(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "MAX_PENDING", 5)
    answers = await asyncio.gather(
        *(put(store, f"k{number}", SetValue(b"1")) for number in range(8)), return_exceptions=True
    )
    assert [isinstance(answer, StoreOverloaded) for answer in answers] == [False] * 5 + [True] * 3
    assert isinstance(await put(store, "later", SetValue(b"1")), Changed)


async def test_too_many_bytes_are_refused(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "MAX_PENDING_BYTES", 100)
    answers = await asyncio.gather(
        *(put(store, f"k{number}", SetValue(b"1" * 60)) for number in range(3)),
        return_exceptions=True,
    )
    assert [isinstance(answer, StoreOverloaded) for answer in answers] == [False, False, True]


async def test_functions_run_in_a_transaction_between_the_batches(store: DatabaseStore) -> None:
    writer = store._database.writer
    first = put(store, "k", SetValue(b"1"))

    def double(connection: StoreConnection) -> int:
        connection.execute("UPDATE kv_stateentry SET value = '2'")
        raise RuntimeError("after the statement")

    async def run() -> None:
        await writer.run(double)

    results = await asyncio.gather(first, run(), value(store, "k"), return_exceptions=True)
    assert isinstance(results[1], StoreError)
    assert results[2] == b"1"


async def test_stopping_commits_what_was_accepted_and_refuses_the_rest(alias: str) -> None:
    is_sqlite = connections.settings[alias]["ENGINE"].endswith("sqlite3")
    database = Database.open(is_sqlite=is_sqlite, description="test", alias=alias)
    database.start()
    store = database.entries("state", StateEntry, ("scope", "key"))
    await store.start()
    accepted = [
        asyncio.ensure_future(put(store, f"k{number}", SetValue(b"1"))) for number in range(100)
    ]
    await asyncio.sleep(0)
    await database.stop()
    assert all(isinstance(each, Changed) for each in await asyncio.gather(*accepted))
    with pytest.raises(StoreUnavailable, match="stopping"):
        await put(store, "late", SetValue(b"1"))


async def test_versions_go_on_behind_those_of_a_killed_engine(alias: str) -> None:
    versions: list[int] = []
    for _ in range(3):
        is_sqlite = connections.settings[alias]["ENGINE"].endswith("sqlite3")
        database = Database.open(is_sqlite=is_sqlite, description="test", alias=alias)
        database.start()
        store = database.entries("state", StateEntry, ("scope", "key"))
        await store.start()
        for _ in range(3):
            changed = await put(store, "k", SetValue(b"1"))
            assert changed.new is not None
            versions.append(changed.new.version)
        await database.stop()
    assert versions == sorted(set(versions))


async def set_patience(store: DatabaseStore, seconds: float) -> None:
    """Let the writer wait so long for the lock of another process."""
    await store._database.writer.query(
        lambda connection: setattr(connection, "patience_s", seconds)
    )


class TestSqlite:
    @pytest.fixture
    def alias(self, sqlite_alias: str) -> str:
        return sqlite_alias

    async def test_what_another_process_writes_is_seen(
        self, store: DatabaseStore, alias: str
    ) -> None:
        await put(store, "k", SetValue(b"1"))
        assert store.peek(("g", "k")) is not None
        with closing(sqlite3.connect(connections.settings[alias]["NAME"])) as shell, shell:
            shell.execute("UPDATE kv_stateentry SET value = '2'")
        async with asyncio.timeout(10):
            while await value(store, "k") != b"2":
                await asyncio.sleep(0.001)

    async def test_rows_that_another_process_inserts_are_not_overwritten(
        self, store: DatabaseStore, alias: str
    ) -> None:
        await put(store, "first", SetValue(b"1"))
        theirs = [f"theirs{number}" for number in range(20)]
        with closing(sqlite3.connect(connections.settings[alias]["NAME"])) as shell, shell:
            shell.executemany(
                "INSERT INTO kv_stateentry (scope, key, value, version) VALUES ('g', ?, '2', 0)",
                [(key,) for key in theirs],
            )

        ours = [f"ours{number}" for number in range(20)]
        for key in ours:
            await put(store, key, SetValue(b"3"))

        found = [(item.name, item.value) for item in await store.list(("g",))]
        expected = [("first", b"1"), *((key, b"2") for key in theirs)]
        assert found == expected + [(key, b"3") for key in ours]

    async def test_a_row_that_is_not_where_it_was_is_looked_for_again(
        self, store: DatabaseStore
    ) -> None:
        """Nobody can write behind a batch's back; what if somebody had?"""
        for key in ("a", "b"):
            await put(store, key, SetValue(b"1"))
        cache = store._cache
        assert cache is not None
        here, there = cache.get(("g", "a"), None), cache.get(("g", "b"), None)
        assert here is not None
        assert there is not None
        here.position, there.position = there.position, here.position

        puts = [put(store, key, SetValue(new)) for key, new in (("a", b"2"), ("b", b"3"))]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)

        assert [type(each) for each in outcomes] == [Changed, Changed]
        assert [item.value for item in await store.list(("g",))] == [b"2", b"3"]

    async def test_a_locked_file_is_an_error_and_then_service_again(
        self, store: DatabaseStore, alias: str
    ) -> None:
        await set_patience(store, 0.05)
        path = connections.settings[alias]["NAME"]
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            put_and_read = (put(store, "k", SetValue(b"1")), value(store, "other"))
            failure, other = await asyncio.gather(*put_and_read, return_exceptions=True)
            assert isinstance(failure, StoreUnavailable)
            assert "locked" in str(failure)
            assert other is None  # it shared their batch, and needs no lock
            shell.execute("ROLLBACK")
        assert isinstance(await put(store, "k", SetValue(b"1")), Changed)

    async def test_who_waited_behind_a_lock_does_not_wait_for_it_again(
        self, store: DatabaseStore, alias: str
    ) -> None:
        await set_patience(store, 0.05)
        writer = store._database.writer
        path = connections.settings[alias]["NAME"]
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            first, behind, patience = await asyncio.gather(
                put(store, "k", SetValue(b"1")),
                writer.run(lambda connection: connection.execute("DELETE FROM kv_stateentry")),
                writer.query(lambda connection: connection.fetch("PRAGMA busy_timeout")),
                return_exceptions=True,
            )
            assert isinstance(first, StoreUnavailable)
            assert isinstance(behind, StoreUnavailable)
            assert patience == [(0,)]
            shell.execute("ROLLBACK")
        assert isinstance(await put(store, "k", SetValue(b"1")), Changed)
        patience = await writer.query(lambda connection: connection.fetch("PRAGMA busy_timeout"))
        assert patience == [(50,)]

    async def test_versions_of_a_batch_that_failed_stay_reserved_or_unused(
        self, store: DatabaseStore, alias: str
    ) -> None:
        with pytest.raises(StoreError):
            await put(store, "k", Put(b"1", chosen=TOO_LARGE))
        await value(store, "k")
        last = (await put(store, "k", SetValue(b"1"))).new
        assert last is not None
        with closing(sqlite3.connect(connections.settings[alias]["NAME"])) as shell:
            ((reserved,),) = shell.execute("SELECT next_version FROM kv_versioncounter")
        assert reserved > last.version


class TestPostgres:
    @pytest.fixture
    def alias(self, postgres_alias: str) -> str:
        return postgres_alias

    async def test_a_lost_connection_is_an_error_and_then_service_again(
        self, store: DatabaseStore
    ) -> None:
        await put(store, "k", SetValue(b"1"))
        # The reader ends the writer's connection.
        await store._database.reader.query(
            lambda connection: connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        with pytest.raises(StoreUnavailable):
            await put(store, "k", SetValue(b"2"))
        assert await value(store, "k") == b"1"
        await put(store, "k", SetValue(b"3"))
        assert await value(store, "k") == b"3"

    async def test_two_engines_add_up(self, store: DatabaseStore, alias: str) -> None:
        other_database = Database.open(is_sqlite=False, description="other", alias=alias)
        other_database.start()
        other = other_database.entries("state", StateEntry, ("scope", "key"))
        await other.start()

        class Increment(SetValue):
            def apply(self, old: Entry | None, now_ms: int, version: int) -> Changed:
                count = 0 if old is None else int(old.value)
                return Changed(old, Entry(b"%d" % (count + 1), version))

        async def count(each: DatabaseStore) -> None:
            for _ in range(50):
                await asyncio.gather(*(put(each, "k", Increment(b"")) for _ in range(5)))

        await asyncio.gather(count(store), count(other))
        assert await value(store, "k") == b"500"
        assert await value(other, "k") == b"500"
        await other_database.stop()

    async def test_values_are_seen_as_jsonb(self, store: DatabaseStore) -> None:
        await put(store, "object", SetValue(b'{"n": 1}'))
        await put(store, "nul", SetValue(b'"\\u0000"'))
        rows = await store._database.reader.query(
            lambda connection: connection.fetch(
                "SELECT key, value->>'n' FROM kv_stateentry_json ORDER BY key"
            )
        )
        assert rows == [("nul", None), ("object", "1")]
