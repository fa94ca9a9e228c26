"""What has to be looked at now and then: ticks that nobody runs, and what is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.core.upkeep import Upkeep
from engine.modules.cron.claiming import Claiming
from engine.modules.cron.clock_watch import ClockWatch

if TYPE_CHECKING:
    from engine.modules.cron.store.store import CronStore

logger = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often ticks are settled that will not run, and those looked for whose task was lost."""

CLOCK_S: Final = 30.0
"""How often it is looked at whether something plans."""

SWEEP_S: Final = 60.0
"""How often what is over is deleted."""

MOST_SWEEPS: Final = 1_000
"""How many times in a row: each is a transaction that others come in between."""


class Retention(NamedTuple):
    """How long ticks are kept that are over, and how many of a schedule."""

    keep_ms: int
    keep_count: int


class CronUpkeep(Upkeep):
    """One task of the whole module.

    Args:
        store: what is looked at.
        claiming: asked for ticks that are due.
        can_run: whether a function can be called here, see `CronStore.settle`.
        clock_watch: told what is due.
        retention: what is kept.
    """

    def __init__(
        self,
        store: CronStore,
        claiming: Claiming,
        can_run: Callable[[str, str], bool],
        clock_watch: ClockWatch,
        retention: Retention,
    ) -> None:
        super().__init__("schedules", logger)
        self._store = store
        self._claiming = claiming
        self._can_run = can_run
        self._clock_watch = clock_watch
        self._retention = retention
        self._next_clock = self._next_sweep = 0.0

    @property
    def interval_s(self) -> float:
        """Between two looks."""
        return LOOK_S

    async def look(self, now: float) -> None:
        """Settle, and now and then look at the clock and sweep."""
        if await self._store.settle(self._can_run):
            self._claiming.want()
        if now >= self._next_clock:
            self._next_clock = now + CLOCK_S
            self._clock_watch.note(await self._store.next_due_at())
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            await self._sweep()

    async def _sweep(self) -> None:
        keep_ms, keep_count = self._retention
        for _ in range(MOST_SWEEPS):
            if not await self._store.sweep(keep_ms=keep_ms, keep_count=keep_count):
                break
