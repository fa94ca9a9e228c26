"""An engine with the HTTP module, a client for it and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from engine.core.engine import Engine
from engine.modules.api.module import RestApiModule
from engine.modules.worker.module import WorkerModule
from tests.fakes import make_engine
from tests.integration.engine.modules.api.support import Client, HttpWorker

Start: TypeAlias = Callable[..., Awaitable["Setting"]]


class Setting:
    """A running engine, its HTTP client and a connected worker."""

    def __init__(self, engine: Engine, has_exchange: bool) -> None:
        self.engine = engine
        module = next(each for each in engine.modules if isinstance(each, RestApiModule))
        self.client = Client(module.app, has_exchange=has_exchange)
        self.worker = self.connect()

    def connect(self) -> HttpWorker:
        """Connect one more worker."""
        return HttpWorker(self.engine)


@pytest.fixture(params=[False, True], ids=["asgi", "exchange"])
def has_exchange(request: pytest.FixtureRequest) -> bool:
    """Both ways in which a server takes an answer."""
    return bool(request.param)


@pytest.fixture
async def start(has_exchange: bool) -> AsyncIterator[Start]:
    """Start an engine with these options of the HTTP module."""
    running: list[Engine] = []

    async def start(**options: Any) -> Setting:
        engine = make_engine((WorkerModule, {}), (RestApiModule, options))
        await engine.start()
        running.append(engine)
        return Setting(engine, has_exchange)

    yield start
    for engine in running:
        await engine.stop(grace_s=0)


@pytest.fixture
async def setting(start: Start) -> Setting:
    """An engine with the default options."""
    return await start()


@pytest.fixture
def client(setting: Setting) -> Client:
    """Speaks to the engine of `setting`."""
    return setting.client


@pytest.fixture
def worker(setting: Setting) -> HttpWorker:
    """A worker of the engine of `setting`."""
    return setting.worker
