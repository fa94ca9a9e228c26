"""How messages get into the database: all of a batch together, a row for each subscription."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from engine.models import Delivery
from engine.modules.queue.adapters.base import (
    IDEMPOTENCY_MS,
    UNCLAIMED_LIMIT,
    NewMessage,
    QueueName,
    Receipt,
)
from engine.modules.queue.adapters.known import KnownQueue, KnownSubscription
from engine.modules.queue.adapters.statements import NewRow, Statements, WantedKey
from kv.clock import now_ms
from kv.stores.connection import StoreConnection
from kv.stores.executor import Operation, Table

T = TypeVar("T")

READY: Final = Delivery.State.READY.value
DELAYED: Final = Delivery.State.DELAYED.value
UNCLAIMED: Final = Delivery.State.UNCLAIMED.value

Arrivals: TypeAlias = "list[Enqueue[Any]]"
"""What is put into one queue with one commit, in order: the row of the executor's table."""


class Intake(Table[QueueName, "Arrivals"]):
    """The queues as the executor writes them: messages are put in, nothing is read by key."""

    def __init__(self, statements: Statements) -> None:
        super().__init__("engine_queue")
        self._statements = statements

    def begin(self, connection: StoreConnection, keys: Sequence[QueueName], changes: int) -> None:
        """Keep the subscriptions as they are until the commit."""
        self._statements.hold_layout(connection)

    def read(
        self, connection: StoreConnection, keys: Sequence[QueueName]
    ) -> dict[QueueName, Arrivals]:
        """Return nothing: every batch begins with no arrivals."""
        return {}

    def write(self, connection: StoreConnection, rows: Mapping[QueueName, Arrivals]) -> None:
        """Put everything in, and leave each its receipt."""
        arrivals = [each for arrived in rows.values() for each in arrived]
        receipts = put_in(
            self._statements, connection, [each.message for each in arrivals], now_ms()
        )
        for each, receipt in zip(arrivals, receipts, strict=True):
            each.receipt = receipt

    def delete(self, connection: StoreConnection, keys: Sequence[QueueName]) -> None:
        """Never called: an arrival leaves its queue in place."""
        raise AssertionError(keys)

    def committed(self, rows: Mapping[QueueName, Arrivals | None]) -> None:
        """Keep nothing."""

    def forget(self) -> None:
        """Forget what subscriptions there are."""
        self._statements.forget_layout()


class Enqueue(Operation[QueueName, "Arrivals", T]):
    """Put a message into its queue."""

    __slots__ = ("_finish", "message", "receipt")

    def __init__(self, table: Intake, message: NewMessage, finish: Callable[[Receipt], T]) -> None:
        # Flat, past three constructors: one is made for every message.
        self.is_done = False
        self.error = self._value = self._callback = None
        self.table = table
        self.key = message.queue
        self.size = len(message.data) + len(message.context)
        self.message = message
        self.receipt: Receipt | None = None
        self._finish = finish

    def apply(self, row: Arrivals | None, now_ms: int) -> Arrivals:
        """Arrive behind what else is put into the queue with this commit."""
        if row is None:
            return [self]
        row.append(self)
        return row

    def finish(self) -> T:
        """Return the caller's answer."""
        assert self.receipt is not None
        return self._finish(self.receipt)


def put_in(
    statements: Statements,
    connection: StoreConnection,
    messages: Sequence[NewMessage],
    now: int,
) -> list[Receipt]:
    """Put messages into their queues, in order; return what has become of each."""
    queues = statements.queues(connection, {each.queue: None for each in messages})
    firsts = _firsts(statements, connection, queues, messages, now)
    rows: list[NewRow] = []
    receipts: list[Receipt] = []
    crowded: dict[int, None] = {}
    for message in messages:
        queue = queues[message.queue]
        if message.idempotency_key:
            first = firsts[queue.id, message.idempotency_key]
            if first != message.id:
                receipts.append(Receipt(first, True, ()))
                continue
        if queue.subscriptions and not queue.has_unclaimed:
            for subscription in queue.subscriptions:
                rows.append(row_for(queue.id, subscription, message, now, now))
            receipts.append(Receipt(message.id, False, queue.receivers))
        else:
            queue.has_unclaimed = True
            crowded[queue.id] = None
            rows.append(_unclaimed(queue.id, message, now))
            receipts.append(Receipt(message.id, False, ()))
    if rows:
        statements.insert(connection, rows)
    for queue_id in crowded:
        statements.trim_unclaimed(connection, queue_id, UNCLAIMED_LIMIT)
    return receipts


def row_for(
    queue_id: int,
    subscription: KnownSubscription,
    message: NewMessage,
    enqueued_at: int,
    now: int,
) -> NewRow:
    """Return the row of a message for one subscription."""
    policy = subscription.policy
    run_at = message.run_at_ms
    if policy.delay_ms:
        run_at = max(run_at, enqueued_at + policy.delay_ms)
    return NewRow(
        queue_id,
        subscription.id,
        message.id,
        message.function_id or subscription.function_id,
        message.data,
        message.context,
        message.group if policy.is_fifo else message.group or None,
        DELAYED if run_at > now else READY,
        run_at,
        enqueued_at,
        message.expires_at_ms,
    )


def _unclaimed(queue_id: int, message: NewMessage, now: int) -> NewRow:
    return NewRow(
        queue_id,
        None,
        message.id,
        message.function_id,
        message.data,
        message.context,
        message.group or None,
        UNCLAIMED,
        message.run_at_ms,
        now,
        message.expires_at_ms,
    )


def _firsts(
    statements: Statements,
    connection: StoreConnection,
    queues: Mapping[QueueName, KnownQueue],
    messages: Sequence[NewMessage],
    now: int,
) -> dict[tuple[int, str], str]:
    """Return the message that each idempotency key belongs to."""
    wanted: dict[tuple[int, str], WantedKey] = {}
    for message in messages:
        if message.idempotency_key:
            queue_id = queues[message.queue].id
            key = queue_id, message.idempotency_key
            wanted.setdefault(key, WantedKey(*key, message.id))
    if not wanted:
        return {}
    return statements.take_keys(connection, list(wanted.values()), now, now + IDEMPOTENCY_MS)
