"""Runs that people ask for: one more tick that is due at once, and its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from engine.modules.cron.claiming import Claiming
from engine.modules.cron.outcomes import Outcomes
from engine.modules.cron.records import Ended, TickRecord, TickState

if TYPE_CHECKING:
    from engine.modules.cron.store.store import CronStore

WAIT_LIMIT_S: Final = 300.0
"""How long somebody may wait for a run; it goes on after that."""

LOOK_S: Final = 1.0
"""How often the store is asked meanwhile: another engine may have the run, or nobody."""


class ManualRuns:
    """Begins runs by hand.

    Args:
        store: where their ticks are.
        claiming: has them run.
        outcomes: tells of those that end here.
    """

    def __init__(self, store: CronStore, claiming: Claiming, outcomes: Outcomes) -> None:
        self._store = store
        self._claiming = claiming
        self._outcomes = outcomes

    async def add(self, schedule_id: str, payload: bytes) -> int:
        """Let a schedule be due now, paused or not; return the id of the tick.

        Raises:
            ScheduleNotFound: there is none of this id.
        """
        tick = await self._store.add_manual(schedule_id, payload)
        self._claiming.want()
        return tick

    async def end_of(self, tick: int) -> Ended | TickRecord | None:
        """Wait for the end of a tick, within a limit; return it as it is then, None if it went."""
        told: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

        def tell(ended: Ended) -> None:
            if not told.done():
                told.set_result(ended)

        self._outcomes.watch(tick, tell)
        found: TickRecord | None = None
        try:
            for _ in range(int(WAIT_LIMIT_S / LOOK_S)):
                await asyncio.wait((told,), timeout=LOOK_S)
                if told.done():
                    return told.result()
                found = await self._store.tick(tick)
                if found is None or found.state > TickState.CLAIMED:
                    break
        finally:
            self._outcomes.unwatch(tick, tell)
        return found
