"""How a delivery becomes a call: of a trigger's function, or of the function that was queued."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.core.invocations import Reply
from engine.core.protocol import DEFAULT_NAMESPACE
from engine.modules.queue.adapters.base import Delivery
from engine.modules.queue.context import (
    baggage_for,
    metadata_head,
    metadata_of,
    read_context,
)

if TYPE_CHECKING:
    from engine.core.engine import Engine
    from engine.core.triggers import Trigger


class TriggerTarget:
    """A trigger's function, with its metadata and `topic`, `attempt`, `message_id`.

    Args:
        engine: calls it.
        trigger: whose function, in its owner's namespace.
        topic: whose messages.
        condition_id: the function that is asked first, with the same data; None if there is none.
    """

    def __init__(
        self, engine: Engine, trigger: Trigger, topic: str, condition_id: str | None
    ) -> None:
        self.ask: Callable[[Delivery, Reply], None] | None = self._ask if condition_id else None
        self._call = engine.invocations.call
        self._condition_id = condition_id or ""
        self._function_id = trigger.function_id
        self._namespace = trigger.namespace
        self._owner_namespace = trigger.owner_namespace
        self._head = metadata_head({"topic": topic}, trigger.metadata)

    def call(self, delivery: Delivery, reply: Reply) -> None:
        """Call the function with the message's data and nothing else."""
        self._start(self._function_id, delivery, reply)

    def _ask(self, delivery: Delivery, reply: Reply) -> None:
        self._start(self._condition_id, delivery, reply)

    def _start(self, function_id: str, delivery: Delivery, reply: Reply) -> None:
        context = read_context(delivery.context)
        self._call(
            function_id,
            delivery.data,
            reply,
            context.traceparent,
            context.baggage,
            metadata_of(self._head, delivery.attempt, delivery.message_id),
            self._namespace,
            self._owner_namespace,
        )


class NamedTarget:
    """The function that each call of a named queue names, with the call's metadata.

    Args:
        engine: calls it.
        queue: the name of the queue, `queue` in the metadata.
    """

    ask: Callable[[Delivery, Reply], None] | None = None

    def __init__(self, engine: Engine, queue: str) -> None:
        self._call = engine.invocations.call
        self._own = {"queue": queue}
        self._head = metadata_head(self._own, None)

    def call(self, delivery: Delivery, reply: Reply) -> None:
        """Call the function as it was meant to be called, with baggage that names it."""
        context = read_context(delivery.context)
        given = context.metadata
        head = metadata_head(self._own, given) if given else self._head
        self._call(
            delivery.function_id,
            delivery.data,
            reply,
            context.traceparent,
            baggage_for(delivery.function_id, context.baggage),
            metadata_of(head, delivery.attempt, delivery.message_id),
            context.namespace,
            context.sender_namespace or DEFAULT_NAMESPACE,
        )
