"""Takes expired entries away, at the time when they expire, not by looking all the time."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from engine.core.errors import EngineError
from kv.clock import now_ms
from kv.functions import OnChange
from kv.stores.base import SWEEP_SIZE, Store

logger = logging.getLogger(__name__)

SETTLING_MS: Final = 50
"""Entries that expire within so many milliseconds of each other are taken away together."""

LOOK_AGAIN_MS: Final = 30_000
"""How long entries may stay after their end that another engine has written, or after an error."""


class Expiry:
    """The sweep of one store.

    Args:
        store: whose entries.
        on_change: is told of each that goes.
    """

    def __init__(self, store: Store, on_change: OnChange) -> None:
        self._store = store
        self._on_change = on_change
        self._next: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take away what has expired while nothing ran, and wait for the next end."""
        self._task = asyncio.ensure_future(self._sweep())

    async def stop(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def note(self, expires_at: int) -> None:
        """Wait for the end of an entry that was written, if it is the next one."""
        if self._next is None or expires_at < self._next:
            self._wait_until(expires_at)

    def _wait_until(self, at_ms: int) -> None:
        self._next = at_ms
        if self._timer is not None:
            self._timer.cancel()
        delay_ms = max(0, at_ms - now_ms()) + SETTLING_MS
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._sweep())

    def _forget(self) -> None:
        self._next = None

    async def _sweep(self) -> None:
        self._forget()
        try:
            while await self._store.sweep(self._on_change) == SWEEP_SIZE:
                pass
            following = await self._store.next_expiry()
        except EngineError as error:
            logger.warning("expired entries could not be taken away: %s", error)
            following = now_ms() + LOOK_AGAIN_MS
        if self._store.is_shared:
            latest = now_ms() + LOOK_AGAIN_MS
            following = latest if following is None else min(following, latest)
        # Another may have been noted while the store was asked.
        if following is not None and following < (self._next or following + 1):
            self._wait_until(following)
