"""The way of a tick as statements: claimed, finished, given back."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from engine.modules.cron.records import ClaimedTick, Ended
from engine.modules.cron.store.dialect import Dialect, PostgresDialect, SqliteDialect
from engine.modules.cron.store.rows import SCHEDULE_FIELDS, clean, known
from kv.stores.connection import StoreConnection

_SCHEDULE: Final = ", ".join(f"s.{name}" for name in SCHEDULE_FIELDS)
_WIDTH: Final = len(SCHEDULE_FIELDS)


class Candidate(NamedTuple):
    """A due tick that this engine may be able to run.

    Attributes:
        tick: as it will be when it is claimed.
        is_owned: this engine has live triggers of its schedule.
        runs_here: a tick of its schedule is claimed by this engine.
        runs_elsewhere: one is claimed by another engine that lives.
    """

    tick: ClaimedTick
    is_owned: bool
    runs_here: bool
    runs_elsewhere: bool


class TickStatements(Dialect):
    """Every method runs in the database thread, within a transaction.

    Args:
        node_id: this engine.

    Attributes:
        node_id: the same.
        has_later: the condition that a tick `t` of a misfire-once schedule will not run: the time
            of a later one has come. Its parameter is the present.
    """

    def __init__(self, node_id: uuid.UUID) -> None:
        self.node_id = node_id
        # Not one that was skipped or missed: none of those runs in its place.
        self.has_later = (
            "EXISTS (SELECT 1 FROM engine_tick l WHERE l.schedule_id = t.schedule_id "
            "AND l.scheduled_at > t.scheduled_at AND l.state NOT IN (4, 5) AND NOT l.is_manual "
            f"AND l.run_at <= {self.mark})"
        )
        live, mark, me = self.is_live("c.holder", node_id), self.mark, self.literal(node_id)
        # `state < 2` names the index of what is open to SQLite.
        claimed = (
            "EXISTS (SELECT 1 FROM engine_tick c WHERE c.schedule_id = s.id AND c.state = 1 "
            f"AND c.state < 2 AND {live} AND c.holder"
        )
        runs_here, runs_elsewhere = f"{claimed} = {me})", f"{claimed} <> {me})"
        is_owned = (
            "EXISTS (SELECT 1 FROM engine_scheduleowner o "
            f"WHERE o.schedule_id = s.id AND o.node = {me})"
        )
        self._candidates = (
            "SELECT t.id, t.attempts + 1, t.scheduled_at, t.run_at, t.give_up_at, t.is_manual, "
            f"t.payload, {_SCHEDULE}, {is_owned}, {runs_here}, {runs_elsewhere} "
            "FROM engine_tick t JOIN engine_schedule s ON s.id = t.schedule_id "
            f"WHERE t.state = 0 AND t.run_at <= {mark} AND (t.run_at, t.id) > ({mark}, {mark}) "
            f"AND (t.give_up_at IS NULL OR t.give_up_at >= {mark}) "
            f"AND (s.misfire <> 'once' OR t.is_manual OR NOT {self.has_later}) "
            f"AND (s.origin = 'person' OR {is_owned} OR {runs_here}) "
            f"ORDER BY t.run_at, t.id LIMIT {mark}"
        )

    def candidates(
        self,
        connection: StoreConnection,
        after: tuple[int, int],
        until_ms: int,
        now_ms: int,
        limit: int,
        *,
        is_claiming: bool,
    ) -> list[Candidate]:
        """Return ticks that are due, in the order of their time.

        Of misfire-once schedules only the newest of those whose time has come.

        Args:
            connection: of the database thread.
            after: time and id of the last one that was seen.
            until_ms: the last time that counts.
            now_ms: the present.
            limit: how many.
            is_claiming: what is found is locked, what others have locked is left out: so a claim
                waits for nobody who waits for it.
        """
        lock = self.skip_locked.replace("UPDATE", "UPDATE OF t") if is_claiming else ""
        found = connection.fetch(
            f"{self._candidates} {lock}", (until_ms, *after, now_ms, now_ms, limit)
        )
        return [
            Candidate(
                ClaimedTick(
                    id=row[0],
                    attempt=row[1],
                    schedule=known(row[7 : 7 + _WIDTH]),
                    scheduled_at=row[2],
                    run_at=row[3],
                    give_up_at=row[4],
                    is_manual=bool(row[5]),
                    payload=row[6].encode(),
                ),
                *map(bool, row[7 + _WIDTH :]),
            )
            for row in found
        ]

    def claim(self, connection: StoreConnection, ticks: Collection[int]) -> set[int]:
        """Claim those that are still due; return which."""
        found = connection.fetch(
            "UPDATE engine_tick SET state = 1, attempts = attempts + 1, "
            f"holder = {self.literal(self.node_id)} "
            f"WHERE id {self.any_of} AND state = 0 RETURNING id",
            (self.id_list(ticks),),
        )
        return {row_id for (row_id,) in found}

    @abstractmethod
    def finish(self, connection: StoreConnection, ended: Sequence[Ended]) -> int:
        """Store outcomes of claims that still stand; return how many."""

    def claimed_besides(self, connection: StoreConnection, ticks: Collection[int]) -> list[int]:
        """Return what this engine has claimed besides these."""
        found = connection.fetch(
            "SELECT id FROM engine_tick WHERE state = 1 AND state < 2 "
            f"AND holder = {self.literal(self.node_id)} AND NOT (id {self.any_of})",
            (self.id_list(ticks),),
        )
        return [row_id for (row_id,) in found]

    def release(self, connection: StoreConnection, ticks: Collection[int]) -> None:
        """Let ticks of this engine be due again: they were not begun."""
        connection.execute(
            "UPDATE engine_tick SET state = 0, holder = NULL "
            f"WHERE id {self.any_of} AND state = 1 AND holder = {self.literal(self.node_id)}",
            (self.id_list(ticks),),
        )


class SqliteTickStatements(SqliteDialect, TickStatements):
    """This process is the only writer."""

    def finish(self, connection: StoreConnection, ended: Sequence[Ended]) -> int:
        """Store outcomes."""
        return connection.execute_many(
            "UPDATE engine_tick SET state = ?, finished_at = ?, reason = ?, error = ?, "
            "trigger_id = ?, trace_id = ?, started_at = ? "
            "WHERE id = ? AND attempts = ? AND state = 1 "
            f"AND holder = {self.literal(self.node_id)}",
            [_row(each) for each in ended],
        )


class PostgresTickStatements(PostgresDialect, TickStatements):
    """Other engines may claim at the same time."""

    def finish(self, connection: StoreConnection, ended: Sequence[Ended]) -> int:
        """Store outcomes."""
        # The statistics of what is open are those of another time: with them the planner compared
        # each row with each outcome.
        connection.execute(
            "SELECT set_config('enable_nestloop', 'off', true), "
            "set_config('enable_seqscan', 'off', true)"
        )
        return connection.execute(
            "UPDATE engine_tick t SET state = r.state, finished_at = r.finished_at, "
            "reason = r.reason, error = r.error, trigger_id = r.trigger_id, "
            "trace_id = r.trace_id, started_at = r.started_at "
            "FROM unnest(%b::smallint[], %b::bigint[], %b::text[], %b::text[], %b::text[], "
            "%b::text[], %b::bigint[], %b::bigint[], %b::bigint[]) AS r(state, finished_at, "
            "reason, error, trigger_id, trace_id, started_at, id, attempt) "
            "WHERE t.id = r.id AND t.attempts = r.attempt AND t.state = 1 "
            f"AND t.holder = {self.literal(self.node_id)} AND t.id = ANY(%b::bigint[])",
            (
                *map(list, zip(*map(_row, ended), strict=True)),
                [each.id for each in ended],
            ),
        )


def _row(ended: Ended) -> tuple[Any, ...]:
    return (
        int(ended.state),
        ended.finished_at,
        ended.reason,
        clean(ended.error),
        clean(ended.trigger_id),
        ended.trace_id,
        ended.started_at,
        ended.id,
        ended.attempt,
    )
