"""The Django app of the engine; it holds the one running Engine of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    import asyncio

    from engine.core.engine import Engine


class EngineNotRunning(RuntimeError):
    """This process runs no engine: it is a shell, a migration, a Celery worker."""


class EngineConfig(AppConfig):
    """The Django app `engine`."""

    name = "engine"
    verbose_name = "Engine"


_running: list[Engine] = []
_loop: list[asyncio.AbstractEventLoop] = []


def set_engine(engine: Engine | None, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Make an engine the running one of this process, or none.

    Args:
        engine: what `get_engine` returns from now on.
        loop: the event loop that it runs on, for those who call it from another thread.
    """
    _running[:] = [] if engine is None else [engine]
    _loop[:] = [] if loop is None else [loop]


def get_engine() -> Engine:
    """Return the running engine.

    Raises:
        EngineNotRunning: there is none in this process.
    """
    if not _running:
        raise EngineNotRunning("no engine runs in this process; start it with `iii`")
    return _running[0]


def get_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of the running engine: whatever touches the engine runs there.

    Raises:
        EngineNotRunning: there is no engine in this process, or its loop does not run yet.
    """
    if not _loop:
        raise EngineNotRunning("no engine runs in this process; start it with `iii`")
    return _loop[0]
