"""A store of schedules on SQLite and PostgreSQL, whose clock stands until it is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.modules.cron.store.store import CronStore
from kv.stores.database import Database
from tests.cron_stores import (
    Clock,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def alias(kind: str, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{kind}_alias"))


@pytest_asyncio.fixture
async def database(kind: str, alias: str) -> AsyncIterator[Database]:
    database = Database.open(is_sqlite=kind == "sqlite", description="test", alias=alias)
    database.start()
    yield database
    await database.stop()


@pytest_asyncio.fixture
async def store(database: Database, clock: Clock) -> CronStore:
    store = CronStore(database)
    await store.start()
    return store
