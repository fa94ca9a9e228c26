"""Dead letters in the database: listed, delivered anew, thrown away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from django.db.models import Q, QuerySet

from engine.models import Delivery
from engine.modules.queue.adapters.base import Chosen, DeadLetter, QueueKind, QueueName
from engine.modules.queue.adapters.intake import READY, UNCLAIMED
from engine.modules.queue.adapters.statements import Redriven, Statements
from kv.stores.connection import StoreConnection

Row = TypeVar("Row")

MAX_ID: Final = 2**63 - 1


class DeadLetters:
    """Those of one database; every method runs in the database thread."""

    def __init__(self, alias: str, statements: Statements) -> None:
        self._alias = alias
        self._statements = statements

    def page(self, queue: QueueName, offset: int, limit: int) -> Sequence[DeadLetter]:
        """Return dead letters, the oldest failure first."""
        return [_letter(queue, row) for row in self._of(queue)[offset : offset + limit]]

    def _of(self, queue: QueueName) -> QuerySet[Delivery]:
        return (
            Delivery.objects.using(self._alias)
            .filter(queue__kind=queue.kind.value, queue__name=queue.name, state=Delivery.State.DEAD)
            .order_by("failed_at", "id")
        )

    def _chosen(self, queue: QueueName, chosen: Chosen) -> QuerySet[Delivery]:
        rows = self._of(queue)
        if chosen.function_id is not None:
            rows = rows.filter(function_id=chosen.function_id)
        if chosen.ids is not None:
            rows = rows.filter(Q(id__in=_numbers(chosen.ids)) | Q(message_id__in=list(chosen.ids)))
        if chosen.error_contains is not None:
            # SQLite's own comparison knows the cases of ASCII alone; this one is Python's there.
            rows = rows.filter(error__iregex=re.escape(chosen.error_contains))
        return rows

    def discard(self, queue: QueueName, chosen: Chosen, limit: int) -> int:
        """Delete the first of those that are meant; return how many."""
        ids = _first(self._chosen(queue, chosen).values_list("id", flat=True), limit)
        return Delivery.objects.using(self._alias).filter(id__in=ids).delete()[0]

    def redrive(
        self,
        connection: StoreConnection,
        name: QueueName,
        chosen: Chosen,
        data: bytes | None,
        limit: int,
    ) -> list[int | None]:
        """Let the first of those that are meant be delivered anew.

        Those whose function alone has no subscription any more stay: nobody would get them.

        Returns:
            The subscription of each; None if it waits for the first one of its topic.
        """
        statements = self._statements
        statements.hold_layout(connection)
        if not self._of(name).exists():
            return []
        queue = statements.queues(connection, (name,))[name]
        receivers = {each.function_id: each for each in queue.subscriptions}
        is_topic = name.kind is QueueKind.TOPIC
        rows = self._chosen(name, chosen)
        if receivers and is_topic:
            rows = rows.filter(function_id__in=list(receivers))
        redriven: list[Redriven] = []
        for row_id, function_id in _first(rows.values_list("id", "function_id"), limit):
            receiver = receivers.get(function_id if is_topic else "")
            redriven.append(
                Redriven(row_id, None, UNCLAIMED, is_fifo=False)
                if receiver is None
                else Redriven(row_id, receiver.id, READY, receiver.policy.is_fifo)
            )
        if redriven:
            statements.redrive(connection, redriven, data)
            statements.forget_layout()
        return [each.subscription_id for each in redriven]


def _first(rows: QuerySet[Any, Row], limit: int) -> list[Row]:
    """Return rows that nobody else has at hand."""
    return list(rows.select_for_update(of=("self",), skip_locked=True)[:limit])


def _numbers(ids: Iterable[str]) -> list[int]:
    """Return those that may be ids of deliveries."""
    numbers = (int(each) for each in ids if each.isascii() and each.isdecimal())
    return [number for number in numbers if number <= MAX_ID]


def _letter(queue: QueueName, row: Delivery) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        message_id=row.message_id,
        queue=queue,
        function_id=row.function_id,
        data=row.data.encode(),
        error=row.error,
        history=row.history.encode(),
        failed_at_ms=row.failed_at or 0,
        enqueued_at_ms=row.enqueued_at,
        attempts=row.attempts,
    )
