"""An engine with state and KV server on every kind of store, and a worker that calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from django.db import connections

from engine.core.modules import AdapterChoice
from kv.adapters import KvStoreOptions, StateKvStore
from kv.models import StateEntry
from kv.server import KvServer
from kv.state import StateModule
from kv.stores.database import Database, DatabaseStore
from tests.store_engine import Setting, StoreWorker, running_setting


@pytest.fixture
def state_options() -> dict[str, Any]:
    """More options of the state module; tests replace it."""
    return {}


@pytest_asyncio.fixture
async def setting(place: tuple[str, str], state_options: dict[str, Any]) -> AsyncIterator[Setting]:
    """An engine with both modules on one kind of store."""
    options = KvStoreOptions(store_method="in_memory" if place[0] == "memory" else "file_based")
    adapter = AdapterChoice(StateKvStore, options)
    async with running_setting(
        place,
        (StateModule, {"adapter": adapter, **state_options}),
        (KvServer, {"store_method": options.store_method}),
    ) as setting:
        yield setting


@pytest.fixture
def worker(setting: Setting) -> StoreWorker:
    """A worker of the engine."""
    return setting.worker


@pytest_asyncio.fixture
async def store(alias: str) -> AsyncIterator[DatabaseStore]:
    """The state's entries in the database of this alias."""
    is_sqlite = connections.settings[alias]["ENGINE"].endswith("sqlite3")
    database = Database.open(is_sqlite=is_sqlite, description="test", alias=alias)
    database.start()
    found = database.entries("state", StateEntry, ("scope", "key"))
    await found.start()
    yield found
    await database.stop()
