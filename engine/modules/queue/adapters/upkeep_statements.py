"""The SQL of what is over and of the figures: the indexes of the states are named by both.

States stand in these statements as they are, not as parameters: so the index of each is found.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from engine.modules.queue.adapters.dialect import Dialect
from kv.stores.connection import StoreConnection

_UNFINISHED: Final = ("state = 0", "state = 1", "state = 2")
_GROUPED: Final = "message_group IS NOT NULL AND state < 4"


class UpkeepStatements(Dialect):
    """What is said to the database now and then; every method runs in its thread."""

    # --- what is over ---------------------------------------------------------------------------

    def expired(
        self, connection: StoreConnection, now: int, limit: int
    ) -> list[tuple[int, int | None]]:
        """Return id and subscription of expired deliveries that nobody has in flight."""
        mark = self._mark
        return connection.fetch(
            f"SELECT id, subscription_id FROM engine_delivery WHERE expires_at <= {mark} "
            f"AND state <> 1 ORDER BY expires_at LIMIT {mark}",
            (now, limit),
        )

    def delete_expired(
        self, connection: StoreConnection, ids: Collection[int], now: int
    ) -> list[tuple[int | None, str | None]]:
        """Delete those that are still expired; return subscription and group of each."""
        return connection.fetch(
            f"DELETE FROM engine_delivery WHERE {self._among} AND state <> 1 "
            f"AND expires_at <= {self._mark} RETURNING subscription_id, message_group",
            (self._id_list(ids), now),
        )

    def delete_dead(self, connection: StoreConnection, before: int, limit: int) -> int:
        """Delete dead letters that have failed before a time; return how many."""
        mark = self._mark
        return connection.execute(
            "DELETE FROM engine_delivery WHERE "
            + self._first(
                "SELECT id FROM engine_delivery WHERE queue_id IN (SELECT id FROM engine_queue) "
                f"AND state = 4 AND failed_at <= {mark} LIMIT {mark}"
            ),
            (before, limit),
        )

    def queues_unclaimed_since(self, connection: StoreConnection, before: int) -> list[int]:
        """Return the queues whose oldest message without subscription is from before a time."""
        found = connection.fetch(
            "SELECT id FROM engine_queue q WHERE (SELECT enqueued_at FROM engine_delivery "
            f"WHERE queue_id = q.id AND state = 5 ORDER BY id LIMIT 1) <= {self._mark}",
            (before,),
        )
        return [queue_id for (queue_id,) in found]

    def delete_unclaimed(
        self, connection: StoreConnection, queue_id: int, before: int, limit: int
    ) -> int:
        """Delete messages without subscription from before a time; return how many."""
        mark = self._mark
        return connection.execute(
            "DELETE FROM engine_delivery WHERE "
            + self._first(
                f"SELECT id FROM engine_delivery WHERE queue_id = {mark} AND state = 5 "
                f"ORDER BY queue_id, id LIMIT {mark}"
            )
            + f" AND enqueued_at <= {mark}",
            (queue_id, limit, before),
        )

    def delete_waiting(self, connection: StoreConnection, subscription: int, limit: int) -> int:
        """Delete what waits for a subscription; return how many."""
        mark = self._mark
        gone = 0
        for condition in (*_UNFINISHED, _GROUPED):
            gone += connection.execute(
                "DELETE FROM engine_delivery WHERE "
                + self._first(
                    f"SELECT id FROM engine_delivery WHERE subscription_id = {mark} "
                    f"AND {condition} LIMIT {mark}"
                ),
                (subscription, limit - gone),
            )
        return gone

    def idle_queues(self, connection: StoreConnection, limit: int) -> list[int]:
        """Return queues that may be removed: nothing of them is left."""
        found = connection.fetch(
            "SELECT id FROM engine_queue q WHERE NOT is_paused "
            "AND NOT EXISTS (SELECT 1 FROM engine_queuesubscription WHERE queue_id = q.id) "
            "AND NOT EXISTS (SELECT 1 FROM engine_idempotencykey WHERE queue_id = q.id) "
            "AND NOT EXISTS (SELECT 1 FROM engine_delivery WHERE queue_id = q.id AND state = 4) "
            "AND NOT EXISTS (SELECT 1 FROM engine_delivery WHERE queue_id = q.id AND state = 5) "
            f"LIMIT {self._mark}",
            (limit,),
        )
        return [queue_id for (queue_id,) in found]

    # --- figures --------------------------------------------------------------------------------

    def counts(
        self, connection: StoreConnection, state: int, subscriptions: Collection[int]
    ) -> list[tuple[int, int, int]]:
        """Return, of each subscription, how many deliveries are in a state, and the oldest's id."""
        return connection.fetch(
            f"SELECT subscription_id, count(*), min(id) FROM engine_delivery WHERE state = {state} "
            f"AND subscription_id {self._any_of} GROUP BY subscription_id",
            (self._id_list(subscriptions),),
        )

    def delayed_counts(
        self, connection: StoreConnection, subscriptions: Collection[int], now: int
    ) -> list[tuple[int, int, int]]:
        """Return, of each subscription, how many deliveries are delayed, and how many not due."""
        return connection.fetch(
            "SELECT subscription_id, count(*), "
            f"count(CASE WHEN run_at > {self._mark} THEN 1 END) FROM engine_delivery "
            f"WHERE state = 2 AND subscription_id {self._any_of} GROUP BY subscription_id",
            (now, self._id_list(subscriptions)),
        )

    def grouped_counts(
        self, connection: StoreConnection, subscriptions: Collection[int]
    ) -> list[tuple[int, int]]:
        """Return, of each FIFO subscription, how many deliveries are not finished."""
        return connection.fetch(
            f"SELECT subscription_id, count(*) FROM engine_delivery WHERE {_GROUPED} "
            f"AND subscription_id {self._any_of} GROUP BY subscription_id",
            (self._id_list(subscriptions),),
        )

    def queue_counts(
        self, connection: StoreConnection, state: int, queues: Collection[int]
    ) -> list[tuple[int, int, int]]:
        """Return, of each queue, how many deliveries are in a state, and the oldest's id."""
        return connection.fetch(
            f"SELECT queue_id, count(*), min(id) FROM engine_delivery WHERE state = {state} "
            f"AND queue_id {self._any_of} GROUP BY queue_id",
            (self._id_list(queues),),
        )

    def enqueued(self, connection: StoreConnection, ids: Collection[int]) -> list[tuple[int, int]]:
        """Return when these deliveries were put in."""
        return connection.fetch(
            f"SELECT id, enqueued_at FROM engine_delivery WHERE {self._among}",
            (self._id_list(ids),),
        )
