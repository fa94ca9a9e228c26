"""What is said to the database about ticks that will not run, and engines that are gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from engine.modules.cron.store.tick_statements import TickStatements
from kv.stores.connection import StoreConnection

SETTLED_AT_ONCE: Final = 1_000
"""How many rows of a kind one transaction settles."""

ENGINE_DIED: Final = "the engine that had claimed it has ended"


class Look(NamedTuple):
    """What there is to settle.

    Attributes:
        has_overdue: ticks whose time has come are due.
        has_hopeless: some of those will not run any more.
        has_orphans: ticks are claimed by engines that are gone.
        has_dead_owners: schedules are owned by engines that are gone.
    """

    has_overdue: bool
    has_hopeless: bool
    has_orphans: bool
    has_dead_owners: bool


class HopelessTick(NamedTuple):
    """A due tick whose time is over.

    Attributes:
        is_owned: an engine that lives has its worker.
    """

    id: int
    is_persons: bool
    function_id: str
    namespace: str
    is_owned: bool


class SettleStatements:
    """Every method runs in the database thread.

    Args:
        dialect: how the database is spoken to, and by which engine.
    """

    def __init__(self, dialect: TickStatements) -> None:
        self._dialect = dialect
        node_id, mark = dialect.node_id, dialect.mark
        overdue = f"t.state = 0 AND t.run_at <= {mark}"
        hopeless = f"{overdue} AND t.give_up_at < {mark}"
        superseded = (
            f"{overdue} AND t.give_up_at IS NULL AND NOT t.is_manual "
            "AND EXISTS (SELECT 1 FROM engine_schedule s WHERE s.id = t.schedule_id "
            f"AND s.misfire = 'once') AND {dialect.has_later}"
        )
        orphans = f"t.state = 1 AND t.state < 2 AND NOT {dialect.is_live('t.holder', node_id)}"
        # Few engines, however many schedules they own: each is found by a step in the index.
        owners = (
            "WITH RECURSIVE o(node) AS (SELECT (SELECT node FROM engine_scheduleowner "
            "ORDER BY node LIMIT 1) UNION ALL SELECT (SELECT w.node FROM engine_scheduleowner w "
            "WHERE w.node > o.node ORDER BY w.node LIMIT 1) FROM o WHERE o.node IS NOT NULL) "
            "SELECT o.node FROM o WHERE o.node IS NOT NULL "
            f"AND NOT {dialect.is_live('o.node', node_id)}"
        )
        ticks = "SELECT 1 FROM engine_tick t WHERE"
        self._look = (
            f"SELECT EXISTS ({ticks} {overdue}), EXISTS ({ticks} {hopeless}) "
            f"OR EXISTS ({ticks} {superseded}), EXISTS ({ticks} {orphans}), EXISTS ({owners})"
        )
        lock = dialect.skip_locked.replace("UPDATE", "UPDATE OF t")
        live_owner = dialect.is_live("w.node", node_id)
        self._hopeless = (
            "SELECT t.id, s.origin = 'person', s.function_id, s.namespace, "
            "EXISTS (SELECT 1 FROM engine_scheduleowner w WHERE w.schedule_id = s.id "
            f"AND {live_owner}) FROM engine_tick t JOIN engine_schedule s ON s.id = t.schedule_id "
            f"WHERE {hopeless} ORDER BY t.run_at LIMIT {mark} {lock}"
        )
        self._superseded = (
            f"SELECT t.id FROM engine_tick t WHERE {superseded} ORDER BY t.run_at "
            f"LIMIT {mark} {lock}"
        )
        self._orphans = f"SELECT t.id FROM engine_tick t WHERE {orphans} LIMIT {mark} {lock}"
        self._owners = owners

    def look(self, connection: StoreConnection, now: int) -> Look:
        """Tell what there is to settle: one statement, which finds nothing by indexes alone."""
        (row,) = connection.fetch(self._look, (now, now, now, now, now))
        return Look(*map(bool, row))

    def hopeless(self, connection: StoreConnection, now: int) -> list[HopelessTick]:
        """Lock due ticks that were given up."""
        found = connection.fetch(self._hopeless, (now, now, SETTLED_AT_ONCE))
        return [HopelessTick(row[0], bool(row[1]), row[2], row[3], bool(row[4])) for row in found]

    def superseded(self, connection: StoreConnection, now: int) -> list[int]:
        """Lock due ticks in whose place a later one runs."""
        return self._ids(connection.fetch(self._superseded, (now, now, SETTLED_AT_ONCE)))

    def orphans(self, connection: StoreConnection) -> list[int]:
        """Lock ticks that are claimed by engines that are gone."""
        return self._ids(connection.fetch(self._orphans, (SETTLED_AT_ONCE,)))

    def dead_owners(self, connection: StoreConnection) -> list[Any]:
        """Return the engines that own schedules and are gone, as the column holds them."""
        return [node for (node,) in connection.fetch(self._owners)]

    def schedules_of(self, connection: StoreConnection, node: Any) -> list[int]:
        """Return schedules that an engine owns."""
        return self._ids(
            connection.fetch(
                "SELECT schedule_id FROM engine_scheduleowner "
                f"WHERE node = {self._dialect.mark} LIMIT {self._dialect.mark}",
                (node, SETTLED_AT_ONCE),
            )
        )

    def disown(
        self, connection: StoreConnection, node: Any, schedules: list[int], now: int
    ) -> None:
        """Let an engine own schedules no more; who has no other owner is detached since now."""
        dialect = self._dialect
        ids = dialect.id_list(schedules)
        connection.fetch(
            f"SELECT id FROM engine_schedule WHERE id {dialect.any_of} ORDER BY id {dialect.lock}",
            (ids,),
        )
        connection.execute(
            f"DELETE FROM engine_scheduleowner WHERE node = {dialect.mark} "
            f"AND schedule_id {dialect.any_of}",
            (node, ids),
        )
        connection.execute(
            f"UPDATE engine_schedule SET detached_at = {dialect.mark} WHERE id {dialect.any_of} "
            "AND origin = 'worker' AND detached_at IS NULL AND ended_at IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM engine_scheduleowner o WHERE o.schedule_id = engine_schedule.id)",
            (now, ids),
        )

    def miss(
        self, connection: StoreConnection, ticks: Collection[int], reason: str, now: int
    ) -> None:
        """End due ticks that will not run."""
        mark = self._dialect.mark
        if ticks:
            connection.execute(
                f"UPDATE engine_tick SET state = 5, reason = {mark}, finished_at = {mark} "
                f"WHERE id {self._dialect.any_of} AND state = 0",
                (reason, now, self._dialect.id_list(ticks)),
            )

    def interrupt(self, connection: StoreConnection, ticks: Collection[int], now: int) -> None:
        """End claimed ticks that nobody has in hand; those that are repeated are due again."""
        mark, any_of = self._dialect.mark, self._dialect.any_of
        ids = self._dialect.id_list(ticks)
        if not ticks:
            return
        connection.execute(
            "UPDATE engine_tick SET state = 0, holder = NULL, give_up_at = NULL "
            f"WHERE id {any_of} AND state = 1 AND schedule_id IN (SELECT id FROM engine_schedule "
            "WHERE repeat_interrupted AND ended_at IS NULL)",
            (ids,),
        )
        connection.execute(
            f"UPDATE engine_tick SET state = 6, error = {mark}, finished_at = {mark} "
            f"WHERE id {any_of} AND state = 1",
            (ENGINE_DIED, now, ids),
        )

    def _ids(self, rows: Sequence[tuple[Any, ...]]) -> list[int]:
        return [row_id for (row_id,) in rows]
