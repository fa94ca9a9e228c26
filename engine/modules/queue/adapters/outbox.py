"""What Django projects have written in their own transactions, on its way into the queues."""

from __future__ import annotations

import logging
import uuid
from typing import Final

import msgspec

from engine.models import Delivery, OutboxMessage
from engine.modules.queue.adapters.base import (
    ERROR_LIMIT,
    NewMessage,
    QueueKind,
    QueueName,
)
from engine.modules.queue.adapters.intake import put_in
from engine.modules.queue.adapters.statements import Statements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

logger = logging.getLogger(__name__)

TAKEN_AT_ONCE: Final = 100
"""How many rows are taken with one commit."""


class OutboxOptions(msgspec.Struct, omit_defaults=True):
    """`options` of an outbox row: what `enqueue` takes, times from the moment of taking over.

    Attributes:
        message_id: UUID as text; made here if absent.
        run_at: Unix milliseconds.
        expires_at: Unix milliseconds.
    """

    message_id: str | None = None
    message_group: str | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    ttl_ms: int | None = None
    expires_at: int | None = None
    idempotency_key: str | None = None


class BadRow(Exception):
    """A row of the outbox that is no message; the text says why."""


def message_of(row: OutboxMessage, now: int) -> NewMessage:
    """Return the message that a row stands for.

    Raises:
        BadRow: its topic is empty, its data no JSON text, or its options are not of their shape.
    """
    if not row.topic:
        raise BadRow("`topic` is empty")
    try:
        msgspec.json.decode(row.data, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        raise BadRow(f"`data` is not JSON text: {error}") from error
    try:
        options = msgspec.json.decode(row.options or "{}", type=OutboxOptions)
    except msgspec.DecodeError as error:
        raise BadRow(f"`options` cannot be read: {error}") from error
    run_at, expires_at = options.run_at, options.expires_at
    if run_at is None and options.delay_ms is not None:
        run_at = now + options.delay_ms
    if expires_at is None and options.ttl_ms is not None:
        expires_at = now + options.ttl_ms
    return NewMessage(
        id=options.message_id or str(uuid.uuid4()),
        queue=QueueName(QueueKind.TOPIC, row.topic),
        data=row.data.encode(),
        group=options.message_group or "",
        run_at_ms=run_at or 0,
        expires_at_ms=expires_at,
        idempotency_key=options.idempotency_key or "",
    )


class Outbox:
    """The outbox of one database; every method runs in the database thread."""

    def __init__(self, alias: str, statements: Statements) -> None:
        self._rows = OutboxMessage.objects.using(alias)
        self._deliveries = Delivery.objects.using(alias)
        self._statements = statements

    def has_rows(self, connection: StoreConnection) -> bool:
        """Tell whether anything is there; asks nothing while nobody else has written."""
        if not self._statements.has_news:
            return False
        has_rows = bool(connection.fetch("SELECT 1 FROM engine_outboxmessage LIMIT 1"))
        if not has_rows:
            self._statements.note_no_news()
        return has_rows

    def take(self, connection: StoreConnection) -> tuple[int, list[int]]:
        """Put the oldest rows into their queues.

        Returns:
            How many rows are gone, none if another engine takes them; the subscriptions that got
            something.
        """
        self._statements.hold_layout(connection)
        if not self._statements.hold_outbox(connection):
            return 0, []
        rows = list(self._rows.order_by("id")[:TAKEN_AT_ONCE])
        now = now_ms()
        messages: list[NewMessage] = []
        for row in rows:
            try:
                messages.append(message_of(row, now))
            except BadRow as error:
                self._bury(connection, row, str(error), now)
        receipts = put_in(self._statements, connection, messages, now)
        self._rows.filter(id__in=[row.id for row in rows]).delete()
        return len(rows), [each for receipt in receipts for each in receipt.subscriptions]

    def _bury(self, connection: StoreConnection, row: OutboxMessage, reason: str, now: int) -> None:
        """Keep a row that is no message as a dead letter: it must not hold up the others."""
        logger.error("outbox row %s is no message: %s", row.id, reason)
        name = QueueName(QueueKind.TOPIC, row.topic)
        queue = self._statements.queues(connection, (name,))[name]
        (row_id,) = self._statements.new_ids(connection, 1)
        self._deliveries.create(
            id=row_id,
            queue_id=queue.id,
            message_id=str(uuid.uuid4()),
            data=row.data,
            state=Delivery.State.DEAD,
            enqueued_at=now,
            error=reason[:ERROR_LIMIT],
            failed_at=now,
        )
