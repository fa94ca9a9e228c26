"""Fixtures that everyone uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from engine.core import triggers
from engine.core.engine import Engine
from tests.fakes import FakeWorker, make_engine


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
