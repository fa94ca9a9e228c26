"""The figures of queues in the database, counted in the indexes of what waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.models import Queue, QueueSubscription
from engine.modules.queue.adapters.base import Policy, QueueKind, QueueName, QueueStats
from engine.modules.queue.adapters.known import read_policy
from engine.modules.queue.adapters.statements import Statements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection


class Figures:
    """Those of one database; every method runs in the database thread."""

    def __init__(self, alias: str, statements: Statements) -> None:
        self._alias = alias
        self._statements = statements

    def all(self, connection: StoreConnection) -> Sequence[QueueStats]:
        """Return every queue with its figures, by name."""
        queues = Queue.objects.using(self._alias).all()
        return sorted(self._count(connection, queues), key=lambda stats: stats.name)

    def one(self, connection: StoreConnection, name: QueueName) -> QueueStats | None:
        """Return the figures of one queue; None if it does not exist."""
        queues = Queue.objects.using(self._alias).filter(kind=name.kind.value, name=name.name)
        return next(iter(self._count(connection, queues)), None)

    def _count(self, connection: StoreConnection, queues: Iterable[Queue]) -> list[QueueStats]:
        now = now_ms()
        tallies = {queue.id: _Tally(queue) for queue in queues}
        owners: dict[int, _Tally] = {}
        fifo: list[int] = []
        for row in (
            QueueSubscription.objects.using(self._alias)
            .filter(queue__in=list(tallies))
            .order_by("id")
        ):
            tally = owners[row.id] = tallies[row.queue_id]
            tally.add(row)
            if read_policy(row.policy).is_fifo:
                fifo.append(row.id)
        oldest = self._count_deliveries(connection, owners, fifo, now)
        oldest |= self._count_others(connection, tallies)
        for row_id, enqueued_at in self._statements.enqueued(connection, list(oldest)):
            oldest[row_id].note_age(now - enqueued_at)
        return [tally.stats() for tally in tallies.values()]

    def _count_deliveries(
        self,
        connection: StoreConnection,
        owners: dict[int, _Tally],
        fifo: Sequence[int],
        now: int,
    ) -> dict[int, _Tally]:
        """Count what belongs to a subscription; return the oldest ids of those that count."""
        statements = self._statements
        ids = list(owners)
        oldest: dict[int, _Tally] = {}
        ungrouped = dict.fromkeys(fifo, 0)
        for subscription, count, first in statements.counts(connection, 0, ids):
            owners[subscription].waiting += count
            oldest[first] = owners[subscription]
            ungrouped[subscription] = ungrouped.get(subscription, 0) + count
        for subscription, count, first in statements.counts(connection, 1, ids):
            owners[subscription].in_flight += count
            oldest[first] = owners[subscription]
            ungrouped[subscription] = ungrouped.get(subscription, 0) + count
        for subscription, count, delayed in statements.delayed_counts(connection, ids, now):
            owners[subscription].delayed += delayed
            owners[subscription].waiting += count - delayed
            ungrouped[subscription] = ungrouped.get(subscription, 0) + count
        for subscription, count in statements.grouped_counts(connection, fifo):
            owners[subscription].waiting += count - ungrouped[subscription]
        return oldest

    def _count_others(
        self, connection: StoreConnection, tallies: dict[int, _Tally]
    ) -> dict[int, _Tally]:
        """Count what belongs to a queue alone; return the oldest ids of those that count."""
        oldest: dict[int, _Tally] = {}
        for queue_id, count, _ in self._statements.queue_counts(connection, 4, list(tallies)):
            tallies[queue_id].dead += count
        for queue_id, count, first in self._statements.queue_counts(connection, 5, list(tallies)):
            tallies[queue_id].waiting += count
            oldest[first] = tallies[queue_id]
        return oldest


class _Tally:
    """A queue while it is counted."""

    def __init__(self, queue: Queue) -> None:
        self._name = QueueName(QueueKind(queue.kind), queue.name)
        self._is_paused = queue.is_paused
        self._policy: Policy | None = None
        self._subscribers = self._delivered = self._failed = 0
        self._oldest_age_ms: int | None = None
        self.waiting = self.delayed = self.in_flight = self.dead = 0

    def add(self, row: QueueSubscription) -> None:
        """Count a subscription."""
        self._subscribers += row.detached_at is None
        self._delivered += row.delivered
        self._failed += row.failed
        self._policy = self._policy or read_policy(row.policy)

    def note_age(self, age_ms: int) -> None:
        """Note how old one of the oldest deliveries is."""
        self._oldest_age_ms = max(0, age_ms, self._oldest_age_ms or 0)

    def stats(self) -> QueueStats:
        """Return what was counted."""
        return QueueStats(
            name=self._name,
            is_paused=self._is_paused,
            waiting=self.waiting,
            delayed=self.delayed,
            in_flight=self.in_flight,
            dead=self.dead,
            oldest_age_ms=self._oldest_age_ms,
            delivered=self._delivered,
            failed=self._failed,
            subscribers=self._subscribers,
            policy=self._policy,
        )
