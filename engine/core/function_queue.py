"""Calls that are queued instead of made: `action: enqueue`, and who keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from engine.core.functions import Call, Function, FunctionRegistration
from engine.core.invocations import invocation_failed
from engine.core.outgoing import RESULT, random_uuid
from engine.core.protocol import DEFAULT_NAMESPACE, encode

if TYPE_CHECKING:
    from engine.core.engine import Engine

PROVIDER_ID: Final = "engine::queue::enqueue"
"""A worker's function of this id keeps queued calls instead of the engine."""

FAILURE_CODE: Final = "enqueue_error"


class EnqueueRefused(EngineError):
    """A call cannot be queued; the message says why and what to do."""

    code = FAILURE_CODE


class QueuedCall(msgspec.Struct, frozen=True, gc=False):
    """A call to be made later.

    Attributes:
        function_id: what is to be called; it need not exist yet.
        data: the payload, JSON text.
        action: the whole `action` of the frame, JSON text.
        queue: the queue that it names; empty if it names none.
        metadata: side data, JSON text; empty for none.
        namespace: where the function lives, if the frame said so.
        sender_namespace: the namespace of the caller.
    """

    function_id: str
    data: bytes
    action: bytes
    queue: str
    traceparent: str | None
    baggage: str | None
    metadata: bytes
    namespace: str | None
    sender_namespace: str


class FunctionQueue(ABC):
    """Keeps queued calls and sees to it that they are made."""

    @abstractmethod
    def enqueue_call(self, queued: QueuedCall) -> Awaitable[bytes | None]:
        """Keep a call; the answer is `{"messageReceiptId": …}`.

        Raises:
            EnqueueRefused: it cannot be kept.
        """


class ProvidedQueue(FunctionQueue):
    """Queued calls in the hands of a worker that registered `engine::queue::enqueue`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enqueue_call(self, queued: QueuedCall) -> Deferred[bytes | None]:
        """Hand a call to the worker."""
        receipt_id = random_uuid()
        message: dict[str, Any] = {
            "queue": queued.queue,
            "function_id": queued.function_id,
            "data": msgspec.Raw(queued.data),
            "messageReceiptId": receipt_id,
            "traceparent": queued.traceparent,
            "baggage": queued.baggage,
        }
        namespace = queued.namespace or queued.sender_namespace
        if namespace != DEFAULT_NAMESPACE:
            message["namespace"] = namespace
        answer: Deferred[bytes | None] = Deferred()

        def reply(kind: bytes, value: bytes | msgspec.Raw) -> None:
            if kind is RESULT:
                answer.resolve(encode({"messageReceiptId": receipt_id}))
            else:
                error = invocation_failed(bytes(value))
                answer.reject(EnqueueRefused(f"{PROVIDER_ID} failed: {error}"))

        self._engine.invocations.call(
            PROVIDER_ID, encode(message), reply, queued.traceparent, queued.baggage
        )
        return answer


def queueing_function(engine: Engine, queued: QueuedCall) -> Function:
    """Return a function that queues this call instead of making it.

    It is called like any other, so its answer finds its caller, or nobody who has gone meanwhile.
    """
    provider = engine.functions.default.get(PROVIDER_ID)
    queue = engine.function_queue if provider is None else ProvidedQueue(engine)

    def enqueue(_: Call) -> Awaitable[bytes | None]:
        if queue is None:
            raise EnqueueRefused(
                "no queue provider is installed: add modules::queue::QueueModule to the config"
            )
        return queue.enqueue_call(queued)

    registration = FunctionRegistration(
        id=queued.function_id, owner=None, handler=enqueue, failure_code=FAILURE_CODE
    )
    return Function(queued.function_id, DEFAULT_NAMESPACE, registration, None)
