"""Tells the engine that a Django project has committed messages, wherever the engine runs.

Every word may be lost: the engine looks by itself every two seconds at least.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

from django.db import connections

from engine.apps import EngineNotRunning, get_engine, get_loop
from engine.background.outside import send_take_outbox

if TYPE_CHECKING:
    import asyncio

    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

TAKE_OUTBOX: Final = "engine::queue::take_outbox"


def wake(alias: str) -> None:
    """Have the engine take over what was committed in a database; returns at once.

    In a process of its own on SQLite there is nothing to do: the engine sees within a second that
    another process has written its file.
    """
    try:
        engine, loop = get_engine(), get_loop()
    except EngineNotRunning:
        if connections[alias].vendor == "postgresql":
            send_take_outbox()
    else:
        _local.wake(engine, loop)


class _LocalEngine:
    """The engine of this process: asked once for all that was committed since it last looked."""

    def __init__(self) -> None:
        self._asked: asyncio.AbstractEventLoop | None = None

    def wake(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        if self._asked is loop:
            return
        self._asked = loop
        # A loop that is closed belongs to an engine that has just ended; the next one looks at
        # its start.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._look, engine)

    def _look(self, engine: Engine) -> None:
        self._asked = None
        engine.invoke_internal(TAKE_OUTBOX, b"{}").add_done_callback(_note_failure)


def _note_failure(looking: asyncio.Future[bytes | None]) -> None:
    if not looking.cancelled() and looking.exception() is not None:
        logger.debug("the engine did not look for messages: %s", looking.exception())


_local: Final = _LocalEngine()
