"""The way of a message in PostgreSQL, where other engines may write at the same time.

Arrays are sent in binary (`%b`): as text, the driver takes three times as long for them.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from engine.models import NODE_LEASE
from engine.modules.queue.adapters.base import Delivery, QueueKind, QueueName
from engine.modules.queue.adapters.known import (
    KnownQueue,
    KnownSubscription,
    Standing,
    read_policy,
)
from engine.modules.queue.adapters.statements import COLUMNS, NewRow, Statements, delivery
from kv.stores.connection import StoreConnection

LAYOUT_LOCK: Final = (0x6969_7100, 0)
"""The advisory lock on what subscriptions there are: shared by those who put messages in.

Without it a message could be put in for a subscription that is being removed, or past one that
is being made.
"""

OUTBOX_LOCK: Final = (LAYOUT_LOCK[0], 1)
"""The advisory lock of whoever takes from the outbox: two at once would mix up its order."""

_DEAD: Final = (
    "NOT EXISTS (SELECT 1 FROM engine_enginenode n WHERE n.id = s.holder "
    f"AND n.seen_at > now() - interval '{NODE_LEASE.seconds} s')"
)
"""Whether the holder of a subscription is gone."""

_WAITS: Final = (
    "(SELECT id FROM engine_delivery WHERE subscription_id BETWEEN s.id AND s.id AND state = 0 "
    "ORDER BY subscription_id, id LIMIT 1) IS NOT NULL"
)
"""Whether anything of a subscription waits; EXISTS might read the whole table."""

_NEXT_RUN_AT: Final = (
    "(SELECT run_at FROM engine_delivery WHERE subscription_id = s.id AND state = 2 "
    "ORDER BY run_at LIMIT 1)"
)

_TYPES: Final = (
    *("bigint", "bigint", "text", "text", "text", "text", "text", "smallint"),
    *("bigint", "bigint", "bigint"),
)
"""Of the columns of a new row."""

INSERTED_AT_ONCE: Final = 1_000
"""How many rows one statement puts in."""

_VARIED: Final = NewRow._fields.index("message_id")
"""The column that is always sent for each row: it says how many there are."""

_BY_INDEX: Final = (
    "set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)"
)
"""Until the commit what waits is read in the order of its index.

The statistics of a table that fills and empties all the time are those of another time: with them
the planner took all that waits, and sorted it, to claim a few.
"""

_CLAIM: Final = "UPDATE engine_delivery SET state = 1, attempts = attempts + 1 WHERE"
_CLAIMED: Final = (
    "RETURNING id, message_id, function_id, data, context, message_group, attempts, "
    "enqueued_at, expires_at"
)


class PostgresStatements(Statements):
    """What subscriptions there are is read in every batch: other engines change that."""

    _mark = "%s"
    _any_of = "= ANY(%b::bigint[])"
    # A range, ordered by both columns, which only the index of what waits can give. With the id
    # alone the planner may walk through the primary key, past all that waits elsewhere.
    _waiting = "subscription_id BETWEEN %s AND %s AND state = 0 ORDER BY subscription_id, id"
    _text = "%s::text"
    _texts = "unnest(%b::text[]) AS g(value)"

    def __init__(self, node_id: uuid.UUID) -> None:
        self._node_id = node_id

    def _id_list(self, ids: Collection[int]) -> list[int]:
        """Return ids as an array."""
        return list(ids)

    def _one(self, subscription: int) -> tuple[int, ...]:
        return subscription, subscription

    def _first(self, rows: str) -> str:
        # As an array: joined, the planner may read the whole table for them.
        return f"id = ANY(ARRAY({rows}))"

    def _text_list(self, texts: Collection[str]) -> list[str]:
        return list(texts)

    def _text_of(self, data: bytes | None) -> str | None:
        """Return JSON text as the driver takes it."""
        return None if data is None else data.decode()

    # --- queues and subscriptions ---------------------------------------------------------------

    def hold_layout(self, connection: StoreConnection) -> None:
        """Share the lock; what is read afterwards, by statements of their own, stays."""
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", LAYOUT_LOCK)

    def change_layout(self, connection: StoreConnection) -> None:
        """Hold the lock alone."""
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", LAYOUT_LOCK)

    def hold_outbox(self, connection: StoreConnection) -> bool:
        """Try to get the lock of the outbox."""
        ((is_held,),) = connection.fetch("SELECT pg_try_advisory_xact_lock(%s, %s)", OUTBOX_LOCK)
        return bool(is_held)

    def forget_layout(self) -> None:
        """Do nothing: nothing is kept."""

    def queues(
        self, connection: StoreConnection, names: Collection[QueueName]
    ) -> Mapping[QueueName, KnownQueue]:
        """Return queues; those that were not there are made."""
        queues = self._read(connection, names)
        if missing := sorted(set(names) - queues.keys()):
            connection.execute(
                "INSERT INTO engine_queue (kind, name, is_paused) "
                "SELECT kind, name, false FROM unnest(%b::text[], %b::text[]) AS w(kind, name) "
                "ON CONFLICT DO NOTHING",
                _columns(missing),
            )
            queues |= self._read(connection, missing)
        return queues

    def _read(
        self, connection: StoreConnection, names: Collection[QueueName]
    ) -> dict[QueueName, KnownQueue]:
        queues: dict[QueueName, KnownQueue] = {}
        for (
            kind,
            name,
            queue_id,
            is_paused,
            has_unclaimed,
            row_id,
            function_id,
            policy,
        ) in connection.fetch(
            "SELECT q.kind, q.name, q.id, q.is_paused, EXISTS (SELECT 1 "
            "FROM engine_delivery d WHERE d.queue_id = q.id AND d.state = 5), "
            "s.id, s.function_id, s.policy "
            "FROM unnest(%b::text[], %b::text[]) AS w(kind, name) "
            "JOIN engine_queue q ON q.kind = w.kind AND q.name = w.name "
            "LEFT JOIN engine_queuesubscription s ON s.queue_id = q.id ORDER BY s.id",
            _columns(names),
        ):
            key = QueueName(QueueKind(kind), name)
            queue = queues.get(key)
            if queue is None:
                queue = queues[key] = KnownQueue(
                    queue_id, is_paused=is_paused, has_unclaimed=has_unclaimed
                )
            if row_id is not None:
                queue.add(KnownSubscription(row_id, function_id, read_policy(policy)))
        return queues

    # --- messages come in -----------------------------------------------------------------------

    def insert(self, connection: StoreConnection, rows: Sequence[NewRow]) -> None:
        """Put rows in; the sequence counts them in the order of the arrays.

        The driver takes half a microsecond for each value of an array: what all rows have in
        common, nearly everything, is sent once.
        """
        for start in range(0, len(rows), INSERTED_AT_ONCE):
            self._insert(connection, rows[start : start + INSERTED_AT_ONCE])

    def _insert(self, connection: StoreConnection, rows: Sequence[NewRow]) -> None:
        shared: list[int] = []
        once: list[Any] = []
        arrays: list[list[Any]] = []
        for number, column in enumerate(zip(*rows, strict=True)):
            if column.count(column[0]) == len(rows) and number != _VARIED:
                shared.append(number)
                once.append(_sent(column[0]))
            else:
                arrays.append([_sent(value) for value in column])
        connection.execute(_insert(tuple(shared)), [*once, *arrays])

    def new_ids(self, connection: StoreConnection, count: int) -> list[int]:
        """Return numbers of the sequence."""
        found = connection.fetch(
            "SELECT nextval(pg_get_serial_sequence('engine_delivery', 'id')) "
            "FROM generate_series(1, %s)",
            (count,),
        )
        return sorted(row_id for (row_id,) in found)

    # --- a turn ---------------------------------------------------------------------------------

    def standings(
        self, connection: StoreConnection, subscriptions: Collection[int]
    ) -> dict[int, Standing]:
        """Lock subscriptions, in one order everywhere; return how those stand that exist."""
        found = connection.fetch(
            f"SELECT s.id, s.policy, q.is_paused, s.holder, {_DEAD}, {_NEXT_RUN_AT}, {_BY_INDEX} "
            "FROM engine_queuesubscription s JOIN engine_queue q ON q.id = s.queue_id "
            "WHERE s.id = ANY(%b::bigint[]) ORDER BY s.id FOR UPDATE OF s",
            (list(subscriptions),),
        )
        standings: dict[int, Standing] = {}
        for row_id, policy, is_paused, holder, is_dead, next_run_at_ms, *_ in found:
            is_foreign = holder is not None and holder != self._node_id
            if is_foreign and is_dead:
                self._take_over(connection, row_id)
            standings[row_id] = Standing(
                read_policy(policy).is_fifo,
                is_paused,
                is_elsewhere=is_foreign and not is_dead,
                next_run_at_ms=next_run_at_ms,
            )
        return standings

    def _take_over(self, connection: StoreConnection, subscription: int) -> None:
        """Let what a dead engine had in flight wait again; the attempts count."""
        connection.execute(
            "UPDATE engine_delivery SET state = 0 WHERE subscription_id = %s AND state = 1",
            (subscription,),
        )

    def claim(self, connection: StoreConnection, subscription: int, limit: int) -> list[Delivery]:
        """Claim the oldest deliveries that wait."""
        # The row of the subscription is locked: nobody else claims.
        oldest = self._first(f"SELECT id FROM engine_delivery WHERE {self._waiting} LIMIT %s")
        return _deliveries(
            connection.fetch(f"{_CLAIM} {oldest} {_CLAIMED}", (*self._one(subscription), limit))
        )

    def claim_these(self, connection: StoreConnection, ids: Collection[int]) -> list[Delivery]:
        """Claim deliveries."""
        return _deliveries(
            connection.fetch(f"{_CLAIM} {self._among} {_CLAIMED}", (self._id_list(ids),))
        )

    def conclude(
        self, connection: StoreConnection, subscription: int, delivered: int, failed: int
    ) -> tuple[bool, int | None]:
        """Count outcomes; hold the subscription as long as something of it is in flight."""
        ((waits, next_run_at_ms),) = connection.fetch(
            "UPDATE engine_queuesubscription s SET delivered = delivered + %s, "
            "failed = failed + %s, is_wanted = false, holder = CASE WHEN (SELECT id "
            "FROM engine_delivery WHERE subscription_id BETWEEN s.id AND s.id AND state = 1 "
            "ORDER BY subscription_id, id LIMIT 1) IS NOT NULL "
            f"THEN %s::uuid END WHERE id = %s RETURNING {_WAITS}, {_NEXT_RUN_AT}",
            (delivered, failed, self._node_id, subscription),
        )
        return waits, next_run_at_ms

    def want(self, connection: StoreConnection, subscription: int) -> None:
        """Tell the engine that holds a subscription that it was asked for."""
        connection.execute(
            "UPDATE engine_queuesubscription SET is_wanted = true WHERE id = %s AND NOT is_wanted",
            (subscription,),
        )

    def due(
        self, connection: StoreConnection, subscriptions: Collection[int], now: int
    ) -> tuple[list[tuple[int, bool, int | None, bool]], bool]:
        """Look at subscriptions; what a dead engine held is due."""
        found: list[tuple[Any, ...]] = connection.fetch(
            "SELECT EXISTS (SELECT 1 FROM engine_outboxmessage), found.* FROM (SELECT 1) AS one "
            "LEFT JOIN (SELECT s.id, (s.holder IS NOT NULL AND s.holder <> %s) "
            f"OR {_WAITS} AS waits, "
            f"{_NEXT_RUN_AT} AS run_at, s.detached_at IS NOT NULL "
            "FROM engine_queuesubscription s JOIN engine_queue q ON q.id = s.queue_id "
            "WHERE s.id = ANY(%b::bigint[]) AND NOT q.is_paused "
            f"AND (s.holder IS NULL OR s.holder = %s OR {_DEAD})) AS found ON true "
            "ORDER BY found.id",
            (self._node_id, list(subscriptions), self._node_id),
        )
        rows = [
            (row_id, waits or (run_at is not None and run_at <= now), run_at, is_detached)
            for _, row_id, waits, run_at, is_detached in found
            if row_id is not None
        ]
        return rows, found[0][0]


def _sent(value: Any) -> Any:
    """Return a value of a column as the driver takes it."""
    return value.decode() if isinstance(value, bytes) else value


@lru_cache(maxsize=256)
def _insert(shared: tuple[int, ...]) -> str:
    """Return the statement that puts rows in which have these columns in common."""
    values = [
        f"%s::{kind}" if number in shared else f"rows.c{number}"
        for number, kind in enumerate(_TYPES)
    ]
    varied = [number for number in range(len(_TYPES)) if number not in shared]
    return (
        f"INSERT INTO engine_delivery ({COLUMNS.removesuffix(', id')}, attempts, error, history) "
        f"SELECT {', '.join(values)}, 0, '', '' "
        f"FROM unnest({', '.join(f'%b::{_TYPES[number]}[]' for number in varied)}) "
        f"AS rows({', '.join(f'c{number}' for number in varied)})"
    )


def _columns(names: Collection[QueueName]) -> tuple[list[str], list[str]]:
    return [name.kind.value for name in names], [name.name for name in names]


def _deliveries(rows: Sequence[tuple[Any, ...]]) -> list[Delivery]:
    return [
        delivery((*row[:3], row[3].encode(), row[4].encode(), *row[5:])) for row in sorted(rows)
    ]
