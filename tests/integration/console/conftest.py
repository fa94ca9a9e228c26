"""A running engine in a thread of its own, as Django's threads see it, and people who log in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from engine.apps import set_engine
from engine.core.engine import Engine
from engine.modules.api.module import RestApiModule
from engine.modules.worker.module import WorkerModule
from tests.fakes import FakeWorker, make_engine

LIMIT_S = 10

Result = TypeVar("Result")


class EngineThread:
    """An engine on an event loop in another thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.engine: Engine = self._build()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def _build(self) -> Engine:
        return make_engine((WorkerModule, {"port": 49134}), (RestApiModule, {"port": 0}))

    async def _start(self) -> None:
        await self.engine.start()

    async def _stop(self) -> None:
        await self.engine.stop(0)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(LIMIT_S)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(LIMIT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT_S)
        self.loop.close()

    @contextmanager
    def in_charge(self) -> Iterator[Self]:
        """Run it as the engine of this process."""
        self.start()
        set_engine(self.engine, self.loop)
        try:
            yield self
        finally:
            set_engine(None)
            self.stop()

    def do(self, act: Callable[[], Result]) -> Result:
        """Do something on the engine's loop."""

        async def run() -> Result:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(LIMIT_S)

    def connect(self, name: str, **info: Any) -> FakeWorker:
        """Connect a worker that introduces itself."""
        return self.do(lambda: FakeWorker(self.engine, {"name": name, **info}))


@pytest.fixture
def running() -> Iterator[EngineThread]:
    """The running engine of this process."""
    with EngineThread().in_charge() as thread:
        yield thread


@pytest.fixture
def admin_client(db: None) -> Client:
    """A browser in which an administrator is logged in."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="x"))
    return client


@pytest.fixture
def staff_client(db: None) -> Callable[..., Client]:
    """Make a browser in which a member of the staff is logged in who has these permissions."""

    def make(*permissions: str) -> Client:
        user = User.objects.create_user("grace", is_staff=True)
        for each in permissions:
            app, codename = each.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app, codename=codename)
            )
        client = Client()
        client.force_login(user)
        return client

    return make
