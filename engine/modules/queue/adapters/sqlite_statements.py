"""The way of a message in SQLite, whose only writer is this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from engine.modules.queue.adapters.base import Delivery, QueueKind, QueueName
from engine.modules.queue.adapters.known import (
    KnownQueue,
    KnownSubscription,
    Standing,
    read_policy,
)
from engine.modules.queue.adapters.statements import COLUMNS, NewRow, Statements, delivery
from kv.stores.connection import StoreConnection

_CLAIMED: Final = (
    "SELECT id, message_id, function_id, CAST(data AS BLOB), CAST(context AS BLOB), "
    "message_group, attempts + 1, enqueued_at, expires_at FROM engine_delivery"
)

_PORTIONS: Final = (256, 64, 16, 4, 1)
"""How many rows a statement puts in: few sizes, which the driver keeps prepared."""

_encode: Final = msgspec.json.Encoder().encode


class SqliteStatements(Statements):
    """What subscriptions there are is kept in memory; ids are counted there."""

    _mark = "?"
    _any_of = "IN (SELECT value FROM json_each(?))"
    _waiting = "subscription_id = ? AND state = 0 ORDER BY id"
    _text = "CAST(? AS TEXT)"
    _texts = "json_each(?) AS g"

    def __init__(self) -> None:
        self._queues: dict[QueueName, KnownQueue] | None = None
        self._standings: dict[int, tuple[KnownQueue, KnownSubscription]] = {}
        self._next_id = 0

    def _id_list(self, ids: Collection[int]) -> str:
        """Return ids as JSON text."""
        return _encode(list(ids)).decode()

    def _one(self, subscription: int) -> tuple[int, ...]:
        return (subscription,)

    def _first(self, rows: str) -> str:
        return f"id IN ({rows})"

    def _text_list(self, texts: Collection[str]) -> str:
        return _encode(list(texts)).decode()

    def _text_of(self, data: bytes | None) -> bytes | None:
        """Return JSON text as it is."""
        return data

    # --- queues and subscriptions ---------------------------------------------------------------

    def hold_layout(self, connection: StoreConnection) -> None:
        """Do nothing: nobody else writes."""

    def change_layout(self, connection: StoreConnection) -> None:
        """Forget what subscriptions there are: they are read anew when they are needed."""
        self.forget_layout()

    def hold_outbox(self, connection: StoreConnection) -> bool:
        """Do nothing: no other engine is there."""
        return True

    def forget_layout(self) -> None:
        """Forget what subscriptions there are; perhaps because others have written."""
        self._queues = None
        self.has_news = True

    def note_no_news(self) -> None:
        """Trust that the layout is forgotten when others write."""
        self.has_news = False

    def queues(
        self, connection: StoreConnection, names: Collection[QueueName]
    ) -> Mapping[QueueName, KnownQueue]:
        """Return queues; those that were not there are made."""
        queues = self._known(connection)
        for name in names:
            if name not in queues:
                ((queue_id,),) = connection.fetch(
                    "INSERT INTO engine_queue (kind, name, is_paused) VALUES (?, ?, 0) "
                    "RETURNING id",
                    (name.kind.value, name.name),
                )
                queues[name] = KnownQueue(queue_id, is_paused=False, has_unclaimed=False)
        return queues

    def _known(self, connection: StoreConnection) -> dict[QueueName, KnownQueue]:
        if self._queues is not None:
            return self._queues
        queues: dict[QueueName, KnownQueue] = {}
        by_id: dict[int, KnownQueue] = {}
        for queue_id, kind, name, is_paused, has_unclaimed in connection.fetch(
            "SELECT id, kind, name, is_paused, EXISTS (SELECT 1 FROM engine_delivery d "
            "WHERE d.queue_id = q.id AND d.state = 5) FROM engine_queue q"
        ):
            queue = by_id[queue_id] = queues[QueueName(QueueKind(kind), name)] = KnownQueue(
                queue_id, is_paused=bool(is_paused), has_unclaimed=bool(has_unclaimed)
            )
        self._standings = {}
        for queue_id, row_id, function_id, policy in connection.fetch(
            "SELECT queue_id, id, function_id, policy FROM engine_queuesubscription ORDER BY id"
        ):
            queue = by_id[queue_id]
            subscription = KnownSubscription(row_id, function_id, read_policy(policy))
            queue.add(subscription)
            self._standings[row_id] = queue, subscription
        self._queues = queues
        return queues

    # --- messages come in -----------------------------------------------------------------------

    def insert(self, connection: StoreConnection, rows: Sequence[NewRow]) -> None:
        """Put rows in, many with each statement.

        One statement of many rows is a third cheaper than one for each, and leaves the
        interpreter to the event loop all the while.
        """
        parameters: list[Any] = []
        for row, row_id in zip(rows, self.new_ids(connection, len(rows)), strict=True):
            parameters += row
            parameters.append(row_id)
        left, end = len(rows), 0
        for portion in _PORTIONS:
            times, left = divmod(left, portion)
            for _ in range(times):
                start, end = end, end + portion * _WIDTH
                connection.execute(_insert(portion), parameters[start:end])

    def new_ids(self, connection: StoreConnection, count: int) -> list[int]:
        """Count on; ids of a transaction that fails are lost."""
        if not self._next_id:
            ((last,),) = connection.fetch("SELECT max(id) FROM engine_delivery")
            self._next_id = (last or 0) + 1
        first = self._next_id
        self._next_id = first + count
        return list(range(first, self._next_id))

    # --- a turn ---------------------------------------------------------------------------------

    def standings(
        self, connection: StoreConnection, subscriptions: Collection[int]
    ) -> dict[int, Standing]:
        """Return how those subscriptions stand that exist; nobody else holds any."""
        self._known(connection)
        standings: dict[int, Standing] = {}
        for row_id in subscriptions:
            known = self._standings.get(row_id)
            if known is not None:
                queue, subscription = known
                standings[row_id] = Standing(
                    subscription.policy.is_fifo,
                    queue.is_paused,
                    is_elsewhere=False,
                    next_run_at_ms=_next_run_at_ms(connection, row_id),
                )
        return standings

    def claim(self, connection: StoreConnection, subscription: int, limit: int) -> list[Delivery]:
        """Claim the oldest deliveries that wait."""
        # Read, then written: RETURNING would keep the rows in a table of its own meanwhile.
        return self._claim(
            connection,
            connection.fetch(
                f"{_CLAIMED} WHERE {self._waiting} LIMIT ?",
                (subscription, limit),
            ),
        )

    def claim_these(self, connection: StoreConnection, ids: Collection[int]) -> list[Delivery]:
        """Claim deliveries."""
        return self._claim(
            connection,
            connection.fetch(f"{_CLAIMED} WHERE {self._among} ORDER BY id", (self._id_list(ids),)),
        )

    def _claim(
        self, connection: StoreConnection, rows: Sequence[tuple[Any, ...]]
    ) -> list[Delivery]:
        if rows:
            connection.execute(
                f"UPDATE engine_delivery SET state = 1, attempts = attempts + 1 "
                f"WHERE {self._among}",
                (self._id_list([row[0] for row in rows]),),
            )
        return [delivery(row) for row in rows]

    def conclude(
        self, connection: StoreConnection, subscription: int, delivered: int, failed: int
    ) -> tuple[bool, int | None]:
        """Count outcomes."""
        if delivered or failed:
            connection.execute(
                "UPDATE engine_queuesubscription SET delivered = delivered + ?, "
                "failed = failed + ? WHERE id = ?",
                (delivered, failed, subscription),
            )
        waiting = connection.fetch(
            "SELECT 1 FROM engine_delivery WHERE subscription_id = ? AND state = 0 LIMIT 1",
            (subscription,),
        )
        return bool(waiting), _next_run_at_ms(connection, subscription)

    def want(self, connection: StoreConnection, subscription: int) -> None:
        """Do nothing: nobody else holds a subscription."""

    def due(
        self, connection: StoreConnection, subscriptions: Collection[int], now: int
    ) -> tuple[list[tuple[int, bool, int | None, bool]], bool]:
        """Look at subscriptions."""
        found = connection.fetch(
            "SELECT s.id, EXISTS (SELECT 1 FROM engine_delivery "
            "WHERE subscription_id = s.id AND state = 0), "
            "(SELECT run_at FROM engine_delivery WHERE subscription_id = s.id AND state = 2 "
            "ORDER BY run_at LIMIT 1) "
            "FROM engine_queuesubscription s JOIN engine_queue q ON q.id = s.queue_id "
            "WHERE s.id IN (SELECT value FROM json_each(?)) AND NOT q.is_paused ORDER BY s.id",
            (self._id_list(subscriptions),),
        )
        rows = [
            (row_id, bool(waits) or (run_at is not None and run_at <= now), run_at, False)
            for row_id, waits, run_at in found
        ]
        return rows, bool(connection.fetch("SELECT 1 FROM engine_outboxmessage LIMIT 1"))


def _next_run_at_ms(connection: StoreConnection, subscription: int) -> int | None:
    found = connection.fetch(
        "SELECT run_at FROM engine_delivery WHERE subscription_id = ? AND state = 2 "
        "ORDER BY run_at LIMIT 1",
        (subscription,),
    )
    return found[0][0] if found else None


_WIDTH: Final = len(NewRow._fields) + 1


@lru_cache(maxsize=len(_PORTIONS))
def _insert(count: int) -> str:
    row = "(?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, 0, '', '')"
    return (
        f"INSERT INTO engine_delivery ({COLUMNS}, attempts, error, history) "
        f"VALUES {', '.join([row] * count)}"
    )
