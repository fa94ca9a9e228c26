"""Fixtures that everyone uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from engine.core import triggers
from engine.core.engine import Engine
from iiiproject import environment
from tests.fakes import FakeWorker, make_engine
from tests.services import find_postgres, running_postgres
from tests.store_databases import database


@pytest.fixture(autouse=True)
def settled_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand triggers to new providers at once; what is between is tested where it belongs."""
    monkeypatch.setattr(triggers, "PROVIDER_SETTLING_S", 0.0)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """A started engine with the worker module, without ports."""
    running = make_engine()
    await running.start()
    yield running
    await running.stop(grace_s=0)


@pytest.fixture
def connect(engine: Engine) -> Callable[..., FakeWorker]:
    """Connect a worker; give it `info` to make it introduce itself."""

    def connect(info: dict[str, Any] | None = None) -> FakeWorker:
        return FakeWorker(engine, info)

    return connect


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of the tests' own."""
    binaries = find_postgres()
    assert binaries is not None, "tests/install-packages installs PostgreSQL"
    with running_postgres(binaries) as url:
        yield url


@pytest.fixture
def sqlite_alias(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """An empty SQLite database."""
    options = environment.databases({}, tmp_path)["default"]
    with django_db_blocker.unblock(), database(options) as alias:
        yield alias


@pytest.fixture
def postgres_alias(postgres_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """An empty PostgreSQL database."""
    options = environment.databases({"DATABASE_URL": postgres_url}, Path())["default"]
    with django_db_blocker.unblock(), database(options) as alias:
        yield alias


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of a store, and the alias of its database; empty for memory."""
    kind = str(request.param)
    return kind, "" if kind == "memory" else request.getfixturevalue(f"{kind}_alias")
