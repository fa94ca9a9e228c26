"""Ticks that will not run are ended, what engines that are gone had is taken from them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from engine.modules.cron.store.settle_statements import (
    SETTLED_AT_ONCE,
    HopelessTick,
    Look,
    SettleStatements,
)
from engine.modules.cron.store.tick_statements import TickStatements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

NO_WORKER: Final = "no_worker"
LATE: Final = "late"
SUPERSEDED: Final = "superseded"


class Settling:
    """Every method runs in the database thread; those that change something in a transaction.

    Args:
        ticks: the statements of this engine, which lock as a claim does.
    """

    def __init__(self, ticks: TickStatements) -> None:
        self._ticks = ticks
        self._statements = SettleStatements(ticks)

    def look(self, connection: StoreConnection) -> Look:
        """Tell what there is to settle."""
        return self._statements.look(connection, now_ms())

    def settle_ticks(
        self, connection: StoreConnection, can_run: Callable[[str, str], bool]
    ) -> bool:
        """End what will not run, and what engines that are gone had begun; say if there is more."""
        now, statements = now_ms(), self._statements
        self._ticks.decide_alone(connection)
        self._ticks.read_by_index(connection)
        hopeless = statements.hopeless(connection, now)
        missed: dict[str, list[int]] = {}
        for tick in hopeless:
            reason = LATE if _could_run(tick, can_run) else NO_WORKER
            missed.setdefault(reason, []).append(tick.id)
        for reason, ids in missed.items():
            statements.miss(connection, ids, reason, now)
        superseded = statements.superseded(connection, now)
        statements.miss(connection, superseded, SUPERSEDED, now)
        orphans = self.take_over(connection)
        return SETTLED_AT_ONCE in (len(hopeless), len(superseded), orphans)

    def take_over(self, connection: StoreConnection) -> int:
        """Interrupt what engines that are gone had begun; return how much that was."""
        orphans = self._statements.orphans(connection)
        self._statements.interrupt(connection, orphans, now_ms())
        return len(orphans)

    def interrupt_besides(self, connection: StoreConnection, known: Collection[int]) -> None:
        """Interrupt what this engine has claimed without knowing."""
        strays = self._ticks.claimed_besides(connection, known)
        self._statements.interrupt(connection, strays, now_ms())

    def settle_owners(self, connection: StoreConnection) -> bool:
        """Let an engine that is gone own schedules no more; say if there is more."""
        for node in self._statements.dead_owners(connection):
            owned = self._statements.schedules_of(connection, node)
            self._statements.disown(connection, node, owned, now_ms())
            return True
        return False


def _could_run(tick: HopelessTick, can_run: Callable[[str, str], bool]) -> bool:
    if tick.is_persons:
        return can_run(tick.function_id, tick.namespace)
    return tick.is_owned
