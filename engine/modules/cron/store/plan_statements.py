"""What the clock says to the database: what is due, its ticks, and when it is due again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from engine.models import NODE_LEASE
from engine.modules.cron.records import TickState
from engine.modules.cron.store.dialect import Dialect, PostgresDialect, SqliteDialect
from engine.modules.cron.store.foresight import DueSchedule, NewTick
from kv.stores.connection import StoreConnection

_DUE: Final = (
    "SELECT s.id, s.expression, s.timezone, s.misfire = 'once', s.jitter_ms, s.is_enabled, "
    "s.is_paused, s.skip_until, s.next_at, s.due_at, (SELECT t.scheduled_at FROM engine_tick t "
    "WHERE t.schedule_id = s.id ORDER BY t.scheduled_at DESC LIMIT 1) FROM engine_schedule s"
)


class Advance(NamedTuple):
    """Where a schedule is after a plan, and how many ticks it has got."""

    schedule: int
    next_at: int | None
    due_at: int | None
    planned: int


class PlanStatements(Dialect):
    """Every method runs where the connection is used, within a transaction."""

    def due(
        self, connection: StoreConnection, until_ms: int, limit: int
    ) -> list[tuple[DueSchedule, int | None]]:
        """Lock due schedules that nobody else plans; return them with the time of the last tick.

        Those that are due last come first: what can still run on time goes before what is missed.
        """
        found = connection.fetch(
            f"{_DUE} WHERE s.due_at <= {self.mark} ORDER BY s.due_at DESC LIMIT {self.mark} "
            f"{self.skip_locked}",
            (until_ms, limit),
        )
        return [(DueSchedule(*row[:-1]), row[-1]) for row in found]

    def times_taken(
        self, connection: StoreConnection, schedule: int, first: int, until_ms: int
    ) -> set[int]:
        """Return which times of a schedule have a tick, both ends included."""
        found = connection.fetch(
            f"SELECT scheduled_at FROM engine_tick WHERE schedule_id = {self.mark} "
            f"AND scheduled_at BETWEEN {self.mark} AND {self.mark}",
            (schedule, first, until_ms),
        )
        return {time for (time,) in found}

    def next_due_at(self, connection: StoreConnection) -> int | None:
        """Return when the next schedule is due."""
        found = connection.fetch(
            "SELECT due_at FROM engine_schedule WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1"
        )
        return found[0][0] if found else None

    def postpone(self, connection: StoreConnection, schedule: int, due_at: int) -> None:
        """Look at a schedule later."""
        connection.execute(
            f"UPDATE engine_schedule SET due_at = {self.mark} WHERE id = {self.mark}",
            (due_at, schedule),
        )

    def unended(
        self, connection: StoreConnection, after: int, limit: int
    ) -> list[tuple[int, str, str, int, int | None]]:
        """Lock schedules that may be due, by id; return rule, zone, jitter, next time of each."""
        return connection.fetch(
            "SELECT id, expression, timezone, jitter_ms, next_at FROM engine_schedule "
            f"WHERE id > {self.mark} AND ended_at IS NULL ORDER BY id LIMIT {self.mark} "
            f"{self.lock}",
            (after, limit),
        )

    @abstractmethod
    def insert(self, connection: StoreConnection, ticks: Sequence[NewTick]) -> None:
        """Write ticks; what has one is left as it is."""

    @abstractmethod
    def advance(self, connection: StoreConnection, advances: Sequence[Advance]) -> None:
        """Move schedules on."""

    @abstractmethod
    def urls(self, connection: StoreConnection, schedules: Collection[int]) -> set[str]:
        """Return where the engines are that may run ticks of these; "" where nobody said."""


_COLUMNS: Final = (
    "schedule_id, scheduled_at, run_at, give_up_at, state, reason, error, stands_for, finished_at, "
    "is_manual, payload, attempts, trigger_id, trace_id"
)

_URLS: Final = (
    "SELECT n.url FROM engine_scheduleowner o JOIN engine_enginenode n ON n.id = o.node "
    "WHERE o.schedule_id"
)
_PERSONS: Final = "SELECT '' FROM engine_schedule WHERE origin = 'person' AND id"


class SqlitePlanStatements(SqliteDialect, PlanStatements):
    """Many rows are one prepared statement, repeated."""

    def insert(self, connection: StoreConnection, ticks: Sequence[NewTick]) -> None:
        """Write ticks."""
        connection.execute_many(
            f"INSERT INTO engine_tick ({_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0, '', '') ON CONFLICT DO NOTHING",
            [_row(tick) for tick in ticks],
        )

    def advance(self, connection: StoreConnection, advances: Sequence[Advance]) -> None:
        """Move schedules on."""
        connection.execute_many(
            "UPDATE engine_schedule SET next_at = ?, due_at = ?, planned = planned + ? "
            "WHERE id = ?",
            [(*where, schedule) for schedule, *where in advances],
        )

    def urls(self, connection: StoreConnection, schedules: Collection[int]) -> set[str]:
        """Ask for those of the one engine."""
        ids = self.id_list(schedules)
        found = connection.fetch(
            f"{_URLS} {self.any_of} UNION {_PERSONS} {self.any_of}", (ids, ids)
        )
        return {url for (url,) in found}


class PostgresPlanStatements(PostgresDialect, PlanStatements):
    """Many rows are arrays, sent in binary: as text, the driver takes three times as long."""

    def insert(self, connection: StoreConnection, ticks: Sequence[NewTick]) -> None:
        """Write ticks: mostly they are due, and have little of their own."""
        due = [tick[:4] for tick in ticks if tick.state is TickState.DUE]
        if due:
            connection.execute(
                f"INSERT INTO engine_tick ({_COLUMNS}) "
                "SELECT c0, c1, c2, c3, 0, '', '', 1, NULL, false, '', 0, '', '' "
                "FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) "
                "AS r(c0, c1, c2, c3) ON CONFLICT DO NOTHING",
                [list(column) for column in zip(*due, strict=True)],
            )
        over = [_row(tick) for tick in ticks if tick.state is not TickState.DUE]
        if over:
            connection.execute(
                f"INSERT INTO engine_tick ({_COLUMNS}) "
                "SELECT r.*, false, '', 0, '', '' FROM unnest(%b::bigint[], %b::bigint[], "
                "%b::bigint[], %b::bigint[], %b::smallint[], %b::text[], %b::text[], "
                "%b::bigint[], %b::bigint[]) AS r ON CONFLICT DO NOTHING",
                [list(column) for column in zip(*over, strict=True)],
            )

    def advance(self, connection: StoreConnection, advances: Sequence[Advance]) -> None:
        """Move schedules on."""
        connection.execute(
            "UPDATE engine_schedule s SET next_at = r.next_at, due_at = r.due_at, "
            "planned = s.planned + r.planned "
            "FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) "
            "AS r(id, next_at, due_at, planned) WHERE s.id = r.id",
            [list(column) for column in zip(*advances, strict=True)],
        )

    def urls(self, connection: StoreConnection, schedules: Collection[int]) -> set[str]:
        """Ask for those of all engines that live."""
        ids = self.id_list(schedules)
        found = connection.fetch(
            f"{_URLS} {self.any_of} AND n.seen_at > now() - interval '{NODE_LEASE.seconds} s' "
            f"UNION {_PERSONS} {self.any_of}",
            (ids, ids),
        )
        return {url for (url,) in found}


def _row(tick: NewTick) -> tuple[Any, ...]:
    # As a plain number: of an enumeration PostgreSQL's driver sends the name.
    return (*tick[:4], int(tick.state), *tick[5:])


SQLITE: Final = SqlitePlanStatements()
POSTGRES: Final = PostgresPlanStatements()
