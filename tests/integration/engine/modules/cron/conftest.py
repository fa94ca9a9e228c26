"""An engine with the cron module on either database, its clock, and a worker of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.core.engine import Engine
from tests.integration.engine.modules.cron.support import CronWorker, running_engine


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of a database, and its alias."""
    kind = str(request.param)
    return kind, request.getfixturevalue(f"{kind}_alias")


@pytest_asyncio.fixture
async def cron(database: tuple[str, str]) -> AsyncIterator[Engine]:
    """An engine whose clock runs."""
    async with running_engine(database) as engine:
        yield engine


@pytest_asyncio.fixture
async def sqlite_cron(sqlite_alias: str) -> AsyncIterator[Engine]:
    """An engine whose clock runs, where the database makes no difference."""
    async with running_engine(("sqlite", sqlite_alias)) as engine:
        yield engine


@pytest_asyncio.fixture
async def still(database: tuple[str, str]) -> AsyncIterator[Engine]:
    """An engine whose clock does not run: tests plan themselves."""
    async with running_engine(database, has_clock=False) as engine:
        yield engine


@pytest.fixture
def worker(cron: Engine) -> CronWorker:
    """A worker of the engine whose clock runs."""
    return CronWorker(cron)
