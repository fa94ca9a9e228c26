"""How messages come in: `enqueue` for topics, `action: enqueue` for named queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from engine.core.deferred import Deferred
from engine.core.errors import TopicNotSet
from engine.core.function_queue import EnqueueRefused, FunctionQueue, QueuedCall
from engine.core.functions import Call
from engine.core.modules import nearest
from engine.core.outgoing import InvocationIds
from engine.core.payloads import bad, reader
from engine.core.protocol import DEFAULT_NAMESPACE, NULL, encode
from engine.modules.queue.adapters.base import (
    NewMessage,
    QueueKind,
    QueueName,
    QueueStore,
    Receipt,
)
from engine.modules.queue.arguments import (
    ActionOptions,
    EnqueueArguments,
    SendOptions,
    topic_problem,
)
from engine.modules.queue.config import NamedQueueConfig
from engine.modules.queue.context import NOTHING, Context, context_text, trace_text
from engine.modules.queue.drains import Drains
from kv.clock import now_ms

MAX_KNOWN_TOPICS: Final = 10_000
"""How many topics are remembered as checked."""

_read_enqueue = reader(EnqueueArguments)
_read_action = msgspec.json.Decoder(ActionOptions).decode


class Sender:
    """Puts messages into the store, and wakes whoever gets them.

    Args:
        store: where they go.
        drains: delivers them.
    """

    def __init__(self, store: QueueStore, drains: Drains) -> None:
        self._store = store
        self._drains = drains
        self._new_id = InvocationIds().next
        self._topics: dict[str, QueueName] = {}
        self._wake_at_once: Callable[[Receipt], None] = self._wake  # bound once

    def enqueue(self, call: Call) -> Deferred[bytes | None]:
        """Put a message into a topic; answered once it is stored.

        Returns:
            Nothing; `{message_id, duplicate}` with `with_receipt`.

        Raises:
            DeserializationError: topic or data is missing, or an option cannot be used.
            TopicNotSet: the topic is empty.
        """
        arguments = _read_enqueue(call)
        topic = self._topics.get(arguments.topic) or self._learn(call, arguments.topic)
        message = NewMessage(
            self._new_id(),
            topic,
            bytes(arguments.data),
            "",
            trace_text(call.traceparent, call.baggage),
        )
        try:
            return self.send(message, arguments, _receipt if arguments.with_receipt else _nothing)
        except ValueError as error:
            raise bad(call, str(error)) from error

    def send(
        self,
        message: NewMessage,
        options: SendOptions,
        finish: Callable[[Receipt], bytes | None],
    ) -> Deferred[bytes | None]:
        """Store a message with what was said of it; `finish` makes the answer of its receipt.

        Raises:
            ValueError: an option cannot be used; the message names it.
        """
        if not options.are_plain:
            message = _with_options(message, options)
        if not message.run_at_ms:
            self._drains.anticipate(message.queue)
            if finish is _nothing:  # nearly always: one call less than by `_stored`
                return self._store.enqueue(message, self._wake_at_once)
        return self._store.enqueue(message, partial(self._stored, finish, message.run_at_ms))

    def new_id(self) -> str:
        """Return the id of a new message."""
        return self._new_id()

    def _learn(self, call: Call, topic: str) -> QueueName:
        """Check a topic and remember it.

        Raises:
            DeserializationError: it cannot be one.
            TopicNotSet: it is empty.
        """
        if not topic:
            raise TopicNotSet(f"{call.function_id}: `topic` is empty; name the topic")
        problem = topic_problem(topic)
        if problem is not None:
            raise bad(call, problem)
        if len(self._topics) >= MAX_KNOWN_TOPICS:
            self._topics.clear()
        name = self._topics[topic] = QueueName(QueueKind.TOPIC, topic)
        return name

    def _stored(
        self, finish: Callable[[Receipt], bytes | None], run_at_ms: int, receipt: Receipt
    ) -> bytes | None:
        self._wake(receipt, run_at_ms)
        return finish(receipt)

    def _wake(self, receipt: Receipt, run_at_ms: int = 0) -> None:
        for each in receipt.subscriptions:
            consumer = self._drains.find(each)
            if consumer is not None:
                consumer.note_message(run_at_ms)


def _with_options(message: NewMessage, options: SendOptions) -> NewMessage:
    problem = options.problem()
    if problem is not None:
        raise ValueError(problem)
    now = now_ms()
    return msgspec.structs.replace(
        message,
        group=message.group if options.message_group is None else options.message_group,
        run_at_ms=options.run_at_ms(now),
        expires_at_ms=None if options.ttl_ms is None else now + options.ttl_ms,
        idempotency_key=options.idempotency_key or "",
    )


def _nothing(_: Receipt) -> None:
    return None


def _receipt(receipt: Receipt) -> bytes:
    return encode({"message_id": receipt.message_id, "duplicate": receipt.is_duplicate})


def _call_receipt(receipt: Receipt) -> bytes:
    return encode({"messageReceiptId": receipt.message_id})


def _full_call_receipt(receipt: Receipt) -> bytes:
    return encode(
        {
            "messageReceiptId": receipt.message_id,
            "message_id": receipt.message_id,
            "duplicate": receipt.is_duplicate,
        }
    )


class NamedQueues(FunctionQueue):
    """The named queues of the config as takers of queued calls.

    Args:
        sender: stores the calls.
        configs: the queues by name.
    """

    def __init__(self, sender: Sender, configs: Mapping[str, NamedQueueConfig]) -> None:
        self._sender = sender
        self._groups = {
            name: None if config.message_group_field is None else _GroupField(config)
            for name, config in configs.items()
        }

    def enqueue_call(self, queued: QueuedCall) -> Deferred[bytes | None]:
        """Keep a call; the answer is `{messageReceiptId}`, more with `with_receipt`."""
        try:
            options = _read_action(queued.action)
        except msgspec.DecodeError as error:
            raise EnqueueRefused(f"action: {error}") from error
        if queued.queue not in self._groups:
            raise EnqueueRefused(self._unknown(queued.queue))
        group_field = self._groups[queued.queue]
        own_namespace = queued.sender_namespace
        context = Context(
            queued.traceparent,
            queued.baggage,
            msgspec.Raw(queued.metadata) if queued.metadata else NOTHING,
            queued.namespace,
            None if own_namespace == DEFAULT_NAMESPACE else own_namespace,
        )
        message = NewMessage(
            id=self._sender.new_id(),
            queue=QueueName(QueueKind.NAMED, queued.queue),
            data=queued.data,
            function_id=queued.function_id,
            context=context_text(context),
            group="" if group_field is None else group_field.read(queued, options),
        )
        finish = _full_call_receipt if options.with_receipt else _call_receipt
        try:
            return self._sender.send(message, options, finish)
        except ValueError as error:
            raise EnqueueRefused(f"action: {error}") from error

    def _unknown(self, queue: str) -> str:
        if not queue:
            return "action: `queue` is missing; name the queue"
        near = nearest(queue, self._groups)
        hint = f", did you mean `{near}`?" if near else ";"
        return (
            f"queue `{queue}` is not in `queue_configs`{hint} there are {', '.join(self._groups)}"
        )


class _GroupField:
    """Reads the message group of calls out of their payloads; nothing else of these is made."""

    def __init__(self, config: NamedQueueConfig) -> None:
        assert config.message_group_field is not None
        self._name = config.message_group_field
        self._is_needed = config.type == "fifo"
        shape = msgspec.defstruct(
            "Group",
            [("value", msgspec.Raw, msgspec.field(default=NOTHING, name=self._name))],
        )
        self._decode = msgspec.json.Decoder(shape).decode

    def read(self, queued: QueuedCall, options: ActionOptions) -> str:
        """Return the group of a call: a text as it is, anything else as JSON.

        Raises:
            EnqueueRefused: the payload has none, and the action names none.
        """
        if not self._is_needed or options.message_group is not None:
            return ""
        try:
            value = bytes(self._decode(queued.data).value)  # type: ignore[attr-defined]
        except msgspec.DecodeError:
            value = b""  # no object
        if value in {b"", NULL}:
            raise EnqueueRefused(
                f"queue `{queued.queue}` is fifo: the payload needs a member `{self._name}` that "
                "is not null, or the action a `message_group`"
            )
        if value[:1] == b'"':
            return str(msgspec.json.decode(value))
        return value.decode()
