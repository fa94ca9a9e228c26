"""The functions of the queue module as the console calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from console.engine_calls import InvocationFailed, WriteFailed, call, write
from console.readable import readable_json
from engine.modules.queue.adapters.base import Policy, QueueKind, QueueName

Result = TypeVar("Result")

NOTHING: Final = msgspec.Raw(b"")

FUNCTION_NOT_FOUND: Final = "function_not_found"


class NoQueueModule(Exception):
    """The engine runs without the queue module: there is no queue to show."""


class QueueEntry(msgspec.Struct, kw_only=True):
    """A queue with its figures, as `engine::queue::list` and `engine::queue::stats` give it.

    Attributes:
        dlq_depth: dead letters.
        oldest_age_ms: how long the oldest message has been there; None without any.
        failed: attempts that failed.
        consumer_count: functions that get its messages.
        config: how it delivers; null for topics, whose subscriptions each have their own.
    """

    kind: QueueKind
    name: str
    depth: int
    waiting: int
    delayed: int
    in_flight: int
    dlq_depth: int
    oldest_age_ms: int | None
    delivered: int
    failed: int
    consumer_count: int
    paused: bool
    config: msgspec.Raw = NOTHING

    @property
    def queue(self) -> QueueName:
        """Which queue it is."""
        return QueueName(self.kind, self.name)

    @property
    def readable_config(self) -> str:
        """Its config, indented; empty without any."""
        return "" if bytes(self.config) in (b"", b"null") else readable_json(self.config)


class QueueList(msgspec.Struct):
    """The answer of `engine::queue::list`.

    Attributes:
        place: where the messages are, for people.
        durable: whether they outlive the engine, and are rows that can be shown.
    """

    queues: list[QueueEntry]
    place: str
    durable: bool


class Paused(msgspec.Struct):
    """The answer of `engine::queue::pause` and `resume`."""

    paused: bool


class Redriven(msgspec.Struct):
    """The answer of `engine::queue::redrive`, `redrive_message` and `discard_message`."""

    redriven: int


class Discarded(msgspec.Struct):
    """The answer of `engine::queue::discard`."""

    discarded: int


class Published(msgspec.Struct):
    """The answer of `enqueue` with a receipt."""

    message_id: str
    duplicate: bool


def list_queues() -> QueueList:
    """Ask the engine for every queue, by name.

    Raises:
        NoQueueModule: it has none.
    """
    try:
        answer = call("engine::queue::list", {}, QueueList)
    except InvocationFailed as error:
        if error.error_code == FUNCTION_NOT_FOUND:
            raise NoQueueModule from error
        raise
    answer.queues.sort(key=lambda each: (each.name, each.kind))
    return answer


def find_queue(queue: QueueName) -> tuple[QueueList, QueueEntry]:
    """Ask the engine for every queue; return that and one of them.

    Raises:
        InvocationFailed: there is no such queue.
        NoQueueModule: there is none at all.
    """
    answer = list_queues()
    entry = next((each for each in answer.queues if each.queue == queue), None)
    if entry is None:
        noun = "topic" if queue.kind is QueueKind.TOPIC else "queue"
        raise InvocationFailed(
            "queue_not_found", f"The {noun} {queue.name} has neither messages nor subscribers"
        )
    return answer, entry


def set_paused(queue: QueueName, *, is_paused: bool) -> None:
    """Pause or resume a queue.

    Raises:
        WriteFailed: it is as it was, or nobody knows.
    """
    _write("pause" if is_paused else "resume", queue, {}, Paused)


def publish(topic: str, data: bytes, message_group: str, delay_ms: int | None) -> Published:
    """Put a message into a topic.

    Raises:
        WriteFailed: it was not put in, or nobody knows.
    """
    payload: dict[str, Any] = {"topic": topic, "data": msgspec.Raw(data), "with_receipt": True}
    if message_group:
        payload["message_group"] = message_group
    if delay_ms is not None:
        payload["delay_ms"] = delay_ms
    return write("enqueue", payload, Published)


def redrive(queue: QueueName, chosen: Mapping[str, Any]) -> int:
    """Let dead letters be delivered anew; return how many.

    Args:
        queue: whose.
        chosen: which: `function_id`, `error_contains`, `message_ids`, `limit`, each optional.

    Raises:
        WriteFailed: none was, or nobody knows.
    """
    return _write("redrive", queue, chosen, Redriven).redriven


def discard(queue: QueueName, chosen: Mapping[str, Any]) -> int:
    """Delete dead letters for good, chosen as in `redrive`; return how many.

    Raises:
        WriteFailed: none was, or nobody knows.
    """
    return _write("discard", queue, chosen, Discarded).discarded


def redrive_edited(queue: QueueName, delivery_id: int, data: bytes) -> None:
    """Let one dead letter be delivered anew with another payload.

    Raises:
        WriteFailed: it was not, or nobody knows.
    """
    payload = {"message_id": str(delivery_id), "data": msgspec.Raw(data)}
    if not _write("redrive_message", queue, payload, Redriven).redriven:
        raise WriteFailed("It is no dead letter any more: nothing was done.")


def by_ids(ids: Sequence[int]) -> dict[str, Any]:
    """Choose dead letters by the ids of their rows, see `redrive`."""
    return {"message_ids": list(map(str, ids))}


def policy_of(text: str) -> Policy:
    """Read the policy of a subscription's row."""
    return msgspec.json.decode(text or "{}", type=Policy)


def _write(name: str, queue: QueueName, rest: Mapping[str, Any], result: type[Result]) -> Result:
    payload = {"queue": queue.name, "kind": queue.kind, **rest}
    return write(f"engine::queue::{name}", payload, result)
