"""What has to be looked at now and then: work of other processes, and what is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from engine.core.upkeep import Upkeep
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


class QueueUpkeep(Upkeep):
    """One task of the whole module; it asks little and never the store about single messages.

    Args:
        store: what is looked at.
        drains: delivers what is found.
        subscriptions: pruned along with it.
    """

    def __init__(self, store: QueueStore, drains: Drains, subscriptions: Subscriptions) -> None:
        super().__init__("queues", logger)
        self._store = store
        self._drains = drains
        self._subscriptions = subscriptions
        self._next_due = self._next_sweep = 0.0

    @property
    def interval_s(self) -> float:
        """Between two looks."""
        return LOOK_S

    async def look(self, now: float) -> None:
        """Look for what others have written, and now and then sweep."""
        if self._store.is_shared:
            for consumer in self._drains.consumers:
                consumer.look()
            if now >= self._next_due:
                self._next_due = now + DUE_S
                await self._look_for_due()
        elif self._store.is_durable:
            self._drains.wake(await self._store.take_outbox())
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            await self._sweep()

    async def _look_for_due(self) -> None:
        due = await self._store.due()
        if due.has_outbox:
            self._drains.wake(await self._store.take_outbox())
        self._drains.note_due(due.subscriptions)

    async def _sweep(self) -> None:
        self._subscriptions.prune()
        while await self._store.sweep() >= SWEEP_SIZE:
            pass
