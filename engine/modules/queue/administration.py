"""The functions about queues: figures, dead letters, pause; for workers and for the console."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Final

import msgspec

from engine.core.deferred import Deferred
from engine.core.functions import Call
from engine.core.payloads import bad, reader
from engine.core.protocol import encode
from engine.modules.queue.adapters.base import (
    Chosen,
    DeadLetter,
    QueueKind,
    QueueName,
    QueueStats,
    QueueStore,
)
from engine.modules.queue.arguments import (
    MAX_PAGE,
    ChosenArguments,
    MessageArguments,
    MessageIdNotSet,
    PageArguments,
    QueueArguments,
    QueueNotSet,
    TopicRequired,
)
from engine.modules.queue.drains import Drains

BROKER_TYPES: Final = {QueueKind.TOPIC: "builtin", QueueKind.NAMED: "function_queue"}
"""What the original calls the two kinds in its listings."""

_read_queue = reader(QueueArguments)
_read_chosen = reader(ChosenArguments)
_read_message = reader(MessageArguments)
_read_page = reader(PageArguments)


class QueueAdministration:
    """Answers questions about queues, and changes them for people.

    Args:
        store: what is asked.
        drains: delivers what is due afterwards.
        named: the names of the named queues.
    """

    def __init__(self, store: QueueStore, drains: Drains, named: Set[str]) -> None:
        self._store = store
        self._drains = drains
        self._named = named

    async def queues(self, call: Call) -> bytes:
        """Answer `{queues: […], place, durable}`, each queue with all its figures."""
        entries = [
            {"kind": each.name.kind, "name": each.name.name, **_figures(each)}
            for each in await self._store.queues()
        ]
        place = {"place": self._store.place, "durable": self._store.is_durable}
        return encode({"queues": entries, **place})

    async def list_topics(self, call: Call) -> bytes:
        """Answer `[{name, broker_type, subscriber_count}]`, named queues among them."""
        return encode(
            [
                {
                    "name": each.name.name,
                    "broker_type": BROKER_TYPES[each.name.kind],
                    "subscriber_count": each.subscribers,
                }
                for each in await self._store.queues()
            ]
        )

    async def stats(self, call: Call) -> bytes:
        """Answer the figures of one queue, zeros for one that has never had anything.

        Raises:
            TopicRequired: none is named.
        """
        queue = self._queue_or_topic(call, _read_queue(call))
        stats = await self._store.stats(queue)
        return encode(_figures(stats if stats is not None else _empty(queue)))

    async def dlq_topics(self, call: Call) -> bytes:
        """Answer `[{topic, broker_type, message_count}]` of the queues with dead letters."""
        return encode(
            [
                {
                    "topic": each.name.name,
                    "broker_type": BROKER_TYPES[each.name.kind],
                    "message_count": each.dead,
                }
                for each in await self._store.queues()
                if each.dead
            ]
        )

    async def dlq_messages(self, call: Call) -> bytes:
        """Answer dead letters, the oldest failure first; `failed_at` in seconds.

        Raises:
            TopicRequired: no topic or queue is named.
            DeserializationError: offset or limit is out of range.
        """
        arguments = _read_page(call)
        queue = self._queue_or_topic(call, arguments)
        if arguments.offset < 0 or not 0 < arguments.limit <= MAX_PAGE:
            raise bad(call, f"`offset` must not be negative, `limit` from 1 to {MAX_PAGE}")
        letters = await self._store.dead_letters(queue, arguments.offset, arguments.limit)
        return encode([_dead_letter(each) for each in letters])

    async def redrive(self, call: Call) -> bytes:
        """Deliver dead letters anew; answer `{queue, redriven}`.

        Raises:
            QueueNotSet: no queue is named.
        """
        arguments = _read_chosen(call)
        queue = self._queue(call, arguments)
        redriven = await self._redrive(queue, _chosen(call, arguments), None)
        return encode({"queue": queue.name, "redriven": redriven})

    async def redrive_message(self, call: Call) -> bytes:
        """Deliver one dead letter anew, perhaps with other data; answer with `redriven` 0 or 1.

        Raises:
            QueueNotSet: no queue is named.
            MessageIdNotSet: no message is named.
        """
        arguments = _read_message(call)
        queue, chosen = self._message(call, arguments)
        redriven = await self._redrive(queue, chosen, bytes(arguments.data) or None)
        return _one(queue, arguments, redriven)

    async def discard(self, call: Call) -> bytes:
        """Delete dead letters; answer `{queue, discarded}`.

        Raises:
            QueueNotSet: no queue is named.
        """
        arguments = _read_chosen(call)
        queue = self._queue(call, arguments)
        discarded = await self._store.discard(queue, _chosen(call, arguments))
        return encode({"queue": queue.name, "discarded": discarded})

    async def discard_message(self, call: Call) -> bytes:
        """Delete one dead letter; the answer calls it `redriven`, as the original does.

        Raises:
            QueueNotSet: no queue is named.
            MessageIdNotSet: no message is named.
        """
        arguments = _read_message(call)
        queue, chosen = self._message(call, arguments)
        return _one(queue, arguments, await self._store.discard(queue, chosen))

    async def pause(self, call: Call) -> bytes:
        """Deliver nothing of a queue until it is resumed; answer `{queue, paused}`."""
        return await self._set_paused(call, True)

    async def resume(self, call: Call) -> bytes:
        """Deliver a queue again; answer `{queue, paused}`."""
        return await self._set_paused(call, False)

    def take_outbox(self, call: Call) -> Deferred[bytes]:
        """Take over what Django projects have written; answer `{taken}`: who got something."""
        answer: Deferred[bytes] = Deferred()

        def finish(taken: Deferred[tuple[int, ...]]) -> None:
            if taken.error is not None:
                answer.reject(taken.error)
                return
            self._drains.wake(taken.value)
            answer.resolve(encode({"taken": len(taken.value)}))

        self._store.take_outbox().then(finish)
        return answer

    async def _set_paused(self, call: Call, is_paused: bool) -> bytes:
        queue = self._queue(call, _read_queue(call))
        for each in await self._store.set_paused(queue, is_paused):
            consumer = self._drains.find(each)
            if consumer is not None:
                consumer.set_paused(is_paused)
        return encode({"queue": queue.name, "paused": is_paused})

    async def _redrive(self, queue: QueueName, chosen: Chosen, data: bytes | None) -> int:
        redriven, subscriptions = await self._store.redrive(queue, chosen, data)
        self._drains.wake(subscriptions)
        return redriven

    # --- which queue ------------------------------------------------------------------------------

    def _queue(self, call: Call, arguments: QueueArguments) -> QueueName:
        """Return the queue that is meant: a named one first, then a topic."""
        name = arguments.name
        if not name:
            raise QueueNotSet(f"{call.function_id}: `queue` is missing or empty; name the queue")
        kind = arguments.kind
        if kind is None:
            kind = QueueKind.NAMED if name in self._named else QueueKind.TOPIC
        return QueueName(kind, name)

    def _queue_or_topic(self, call: Call, arguments: QueueArguments) -> QueueName:
        if not arguments.name:
            raise TopicRequired(f"{call.function_id}: `topic` is missing or empty; name the topic")
        return self._queue(call, arguments)

    def _message(self, call: Call, arguments: MessageArguments) -> tuple[QueueName, Chosen]:
        queue = self._queue(call, arguments)
        if not arguments.message_id:
            raise MessageIdNotSet(
                f"{call.function_id}: `message_id` is missing or empty; name the dead letter"
            )
        return queue, Chosen(ids=[arguments.message_id], limit=1)


def _chosen(call: Call, arguments: ChosenArguments) -> Chosen:
    if arguments.limit is not None and arguments.limit < 1:
        raise bad(call, "`limit` must be at least 1")
    return Chosen(
        function_id=arguments.function_id,
        ids=arguments.message_ids,
        error_contains=arguments.error_contains,
        limit=arguments.limit,
    )


def _one(queue: QueueName, arguments: MessageArguments, count: int) -> bytes:
    return encode({"queue": queue.name, "message_id": arguments.message_id, "redriven": count})


def _empty(queue: QueueName) -> QueueStats:
    return QueueStats(queue, False, 0, 0, 0, 0, None, 0, 0, 0, None)


def _figures(stats: QueueStats) -> dict[str, Any]:
    policy = stats.policy
    return {
        "depth": stats.depth,
        "consumer_count": stats.subscribers,
        "dlq_depth": stats.dead,
        "config": None
        if policy is None
        else {name: getattr(policy, name) for name in policy.__struct_fields__},
        "waiting": stats.waiting,
        "delayed": stats.delayed,
        "in_flight": stats.in_flight,
        "oldest_age_ms": stats.oldest_age_ms,
        "delivered": stats.delivered,
        "failed": stats.failed,
        "paused": stats.is_paused,
    }


def _dead_letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "payload": msgspec.Raw(letter.data),
        "error": letter.error,
        "failed_at": letter.failed_at_ms // 1000,
        "retries": letter.attempts,
        "size_bytes": len(letter.data),
        "function_id": letter.function_id,
        "message_id": letter.message_id,
        "history": msgspec.Raw(letter.history or b"[]"),
    }
