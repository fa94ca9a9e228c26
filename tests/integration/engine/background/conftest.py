"""An engine with a real worker port, and the background work of a process around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import uvloop

from engine.apps import set_engine
from engine.background.broker import MEMORY_URL
from engine.background.service import BackgroundWork
from engine.core.engine import Engine
from engine.core.functions import Call
from engine.core.listeners import Listener
from engine.modules.cron.records import Planned
from engine.server.base import BoundListener, Server, bind_listeners, create_server
from iiiproject.asgi import build_application
from iiiproject.background import load_app, worker_url
from tests.fakes import make_engine

LIMIT_S = 15.0


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the engine's event loop."""
    return {"uvloop": uvloop.new_event_loop}


class Site:
    """A running engine whose queue and cron modules are functions that remember their calls.

    Attributes:
        url: the worker port.
        drained: the subscriptions of each drain.
        looks: how often the outbox was to be taken over.
        answer: what a drain waits for before it answers.
        plans: how often the clock asked what is due.
        planned: what it is answered, each once; then that nothing is.
        runs: how often due ticks were to be run.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.drained: list[list[int]] = []
        self.looks = 0
        self.answer: asyncio.Future[None] | None = None
        self.plans = 0
        self.planned: list[Planned] = []
        self.runs = 0
        self._server: Server | None = None
        self._bound: list[BoundListener] = []
        engine.register_function("engine::queue::drain", self._drain, is_internal=True)
        engine.register_function("engine::queue::take_outbox", self._look, is_internal=True)

    def add_cron(self) -> None:
        """Add the functions of the cron module."""
        self.engine.register_function("engine::cron::plan", self._plan, is_internal=True)
        self.engine.register_function("engine::cron::run_ticks", self._run_ticks, is_internal=True)

    @property
    def url(self) -> str:
        return worker_url(self._bound)

    async def open(self, port: int = 0) -> None:
        """Serve the worker port."""
        listener = Listener("workers", "127.0.0.1", port, "websocket", "workers", None, 10_000)
        self._bound = bind_listeners([listener])
        application = build_application({each.port: each.listener for each in self._bound})
        self._server = create_server("picows", application)
        await self._server.start(self._bound)

    async def close(self) -> None:
        """Close the port and every connection."""
        assert self._server is not None
        for session in self.engine.workers.connections:
            session.close()
            session.outbox.close(1012, "engine stops")
        await self._server.close()

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while not condition():
                    await asyncio.sleep(0.002)
        except TimeoutError:
            pytest.fail(f"not within {LIMIT_S:g} s: {what}")

    def _plan(self, call: Call) -> bytes:
        self.plans += 1
        return msgspec.json.encode(self.planned.pop(0) if self.planned else Planned(0, None, ()))

    def _run_ticks(self, call: Call) -> bytes:
        self.runs += 1
        return b'{"claimed":0}'

    def _look(self, call: Call) -> bytes:
        self.looks += 1
        return b'{"taken":0}'

    async def _drain(self, call: Call) -> bytes:
        self.drained.append(msgspec.json.decode(call.data)["subscriptions"])
        if self.answer is not None:
            await self.answer
        return b'{"claimed":0}'


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    """An engine with an open worker port."""
    engine = make_engine()
    set_engine(engine, asyncio.get_running_loop())
    await engine.start()
    site = Site(engine)
    await site.open()
    yield site
    await site.close()
    await engine.stop(grace_s=0)
    set_engine(None)


@pytest_asyncio.fixture
async def work(site: Site) -> AsyncIterator[BackgroundWork]:
    """The background work of that engine, with all threads running."""
    ready = threading.Event()
    work = BackgroundWork(load_app, MEMORY_URL, site.url, None, ready.set)
    work.start()
    await site.until(ready.is_set, "the embedded Celery is ready")
    yield work
    work.refuse()
    await work.stop(LIMIT_S)
