"""What is over in the database goes: expired, too old, nobody's any more."""

from __future__ import annotations

from typing import Final

from engine.models import IdempotencyKey, QueueSubscription
from engine.modules.queue.adapters.base import (
    DEAD_RETENTION_MS,
    SWEEP_SIZE,
    UNCLAIMED_RETENTION_MS,
)
from engine.modules.queue.adapters.known import read_policy
from engine.modules.queue.adapters.layout import Layout
from engine.modules.queue.adapters.statements import Statements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

MEND_TIME_MS: Final = 10_000
"""How long an engine may take to say that it has a subscription that another noted as detached."""


class Sweeping:
    """Takes away what is over, a limited number of rows at a time.

    Every method runs in the database thread, in a transaction of its own: each takes its locks in
    the order in which the way of a message takes them.
    """

    def __init__(
        self, alias: str, statements: Statements, layout: Layout, *, is_shared: bool
    ) -> None:
        self._alias = alias
        self._statements = statements
        self._layout = layout
        self._mend_time_ms = MEND_TIME_MS if is_shared else 0

    def sweep_expired(self, connection: StoreConnection) -> int:
        """Delete deliveries that nobody may get any more."""
        now, statements = now_ms(), self._statements
        found = statements.expired(connection, now, SWEEP_SIZE)
        if not found:
            return 0
        statements.standings(connection, {each for _, each in found if each is not None})
        gone = statements.delete_expired(connection, [row_id for row_id, _ in found], now)
        groups: dict[int, set[str]] = {}
        for subscription, group in gone:
            if subscription is not None and group is not None:
                groups.setdefault(subscription, set()).add(group)
        for subscription, names in groups.items():
            statements.promote(connection, subscription, names, now)
        return len(gone)

    def sweep_old(self, connection: StoreConnection) -> int:
        """Delete old dead letters, old messages without subscription, keys that hold no more."""
        now, statements = now_ms(), self._statements
        keys = IdempotencyKey.objects.using(self._alias)
        old = keys.filter(expires_at__lte=now).order_by("expires_at")[:SWEEP_SIZE]
        swept = keys.filter(id__in=[key.id for key in old]).delete()[0]
        swept += statements.delete_dead(connection, now - DEAD_RETENTION_MS, SWEEP_SIZE)
        before = now - UNCLAIMED_RETENTION_MS
        for queue_id in statements.queues_unclaimed_since(connection, before):
            swept += statements.delete_unclaimed(connection, queue_id, before, SWEEP_SIZE)
        if swept:
            statements.forget_layout()
        return swept

    def sweep_layout(self, connection: StoreConnection) -> int:
        """Delete subscriptions that no worker has had for too long, and queues that are empty."""
        statements = self._statements
        abandoned = self._abandoned()
        idle = statements.idle_queues(connection, SWEEP_SIZE)
        if not (abandoned or idle):
            return 0
        statements.change_layout(connection)
        swept = 0
        for subscription in self._abandoned():
            swept += statements.delete_waiting(connection, subscription, SWEEP_SIZE - swept)
            if swept >= SWEEP_SIZE:
                break
            swept += 1 + self._layout.unsubscribe(connection, subscription)
        for queue_id in idle:
            self._layout.drop_if_idle(queue_id)
        statements.forget_layout()
        return swept

    def _abandoned(self) -> list[int]:
        """Return subscriptions that have been without a worker for longer than they are kept."""
        now = now_ms()
        rows = QueueSubscription.objects.using(self._alias).filter(detached_at__isnull=False)
        return [
            row.id
            for row in rows.order_by("id")
            if row.detached_at is not None
            and row.detached_at + max(read_policy(row.policy).retention_ms, self._mend_time_ms)
            <= now
        ]
