"""What has to be looked at now and then: work of other processes, and what is over."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from engine.core.errors import EngineError
from engine.core.log_limit import LogLimit
from engine.modules.queue.adapters.base import SWEEP_SIZE, QueueStore
from engine.modules.queue.drains import Drains

if TYPE_CHECKING:
    from engine.modules.queue.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often a database is looked at that other processes write, too."""

DUE_S: Final = 2.0
"""How often a shared one is asked what is due: messages and deaths of other engines."""

SWEEP_S: Final = 60.0
"""How often what is over is deleted."""

COMPLAINT_INTERVAL_S: Final = 30.0


class Upkeep:
    """One task of the whole module; it asks little and never the store about single messages.

    Args:
        store: what is looked at.
        drains: delivers what is found.
        subscriptions: pruned along with it.
    """

    def __init__(self, store: QueueStore, drains: Drains, subscriptions: Subscriptions) -> None:
        self._store = store
        self._drains = drains
        self._subscriptions = subscriptions
        self._task: asyncio.Task[None] | None = None
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        next_due = next_sweep = 0.0
        while True:
            now = monotonic()
            try:
                if self._store.is_shared:
                    for consumer in self._drains.consumers:
                        consumer.look()
                    if now >= next_due:
                        next_due = now + DUE_S
                        await self._look_for_due()
                elif self._store.is_durable:
                    self._drains.wake(await self._store.take_outbox())
                if now >= next_sweep:
                    next_sweep = now + SWEEP_S
                    await self._sweep()
            except EngineError as error:
                self._complaints.warning(f"queues were not looked after, next try soon: {error}")
            except Exception:  # what nobody has foreseen must not end it
                logger.exception("queues could not be looked after")
            await asyncio.sleep(LOOK_S)

    async def _look_for_due(self) -> None:
        due = await self._store.due()
        if due.has_outbox:
            self._drains.wake(await self._store.take_outbox())
        self._drains.note_due(due.subscriptions)

    async def _sweep(self) -> None:
        self._subscriptions.prune()
        while await self._store.sweep() >= SWEEP_SIZE:
            pass
