"""What the functions of the queue module are called with: shapes, spellings, limits."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from engine.core.errors import EngineError
from engine.modules.queue.adapters.base import QueueKind
from engine.modules.queue.policy import MAX_TIME_MS

MAX_NAME_BYTES: Final = 1024
"""Of a topic, a message group or an idempotency key."""

MAX_PAGE: Final = 1_000
"""How many dead letters an answer holds at most."""

LATEST_MS: Final = 2**52
"""The latest time that a message may name, Unix milliseconds."""

NOTHING: Final = msgspec.Raw(b"")


class SendOptions(msgspec.Struct, gc=False, kw_only=True):
    """What may be said of a message beside its data; also in an `action`.

    Attributes:
        message_group: keeps its messages in order in a FIFO queue.
        delay_ms: not before so many milliseconds from now.
        run_at: not before this time, Unix milliseconds or RFC 3339 text.
        idempotency_key: a second message of this key within 24 hours is the first one.
        ttl_ms: nobody gets it any more after so many milliseconds.
        with_receipt: answer `{message_id, duplicate}`.
    """

    message_group: str | None = None
    delay_ms: int | None = None
    run_at: int | str | None = None
    idempotency_key: str | None = None
    ttl_ms: int | None = None
    with_receipt: bool = False

    @property
    def are_plain(self) -> bool:
        """Whether nothing is asked for."""
        return (
            self.delay_ms is None
            and self.ttl_ms is None
            and self.run_at is None
            and self.message_group is None
            and self.idempotency_key is None
        )

    def problem(self) -> str | None:
        """Say what is wrong with them, None if nothing is."""
        if self.delay_ms is not None and not 0 <= self.delay_ms <= MAX_TIME_MS:
            return f"`delay_ms` must be from 0 to {MAX_TIME_MS} milliseconds"
        if self.delay_ms is not None and self.run_at is not None:
            return "`delay_ms` and `run_at` exclude each other; name one of them"
        if self.ttl_ms is not None and not 0 < self.ttl_ms <= MAX_TIME_MS:
            return f"`ttl_ms` must be from 1 to {MAX_TIME_MS} milliseconds"
        for name, text in (
            ("message_group", self.message_group),
            ("idempotency_key", self.idempotency_key),
        ):
            problem = None if text is None else text_problem(name, text)
            if problem is not None:
                return problem
        return None

    def run_at_ms(self, now_ms: int) -> int:
        """Return before when it must not be delivered, Unix milliseconds; 0 for at once.

        Raises:
            ValueError: `run_at` is no time.
        """
        if self.delay_ms is not None:
            return now_ms + self.delay_ms if self.delay_ms else 0
        if self.run_at is None:
            return 0
        if isinstance(self.run_at, str):
            return _read_time_ms(self.run_at)
        if not 0 <= self.run_at <= LATEST_MS:
            raise ValueError(f"`run_at` must be from 0 to {LATEST_MS} Unix milliseconds")
        return self.run_at


class EnqueueArguments(SendOptions, gc=False):
    """The payload of `enqueue`; the data is not read, but stored as it came."""

    topic: str
    data: msgspec.Raw


class ActionOptions(SendOptions, gc=False):
    """`action` of a call: `{"type": "enqueue", "queue": …}` and what `enqueue` takes."""

    queue: str | None = None


class _OtherNames(msgspec.Struct, kw_only=True):
    """What is not among the first members where a payload is an array."""

    topic: str | None = None
    kind: QueueKind | None = None


class QueueArguments(_OtherNames):
    """`{queue}` or `{topic}`, and `kind` where a named queue and a topic share the name."""

    queue: str | None = None

    @property
    def name(self) -> str:
        """The name of the queue; empty if there is none."""
        return self.queue or self.topic or ""


class ChosenArguments(QueueArguments):
    """Which dead letters of a queue are meant; what is absent does not narrow."""

    function_id: str | None = None
    message_ids: list[str] | None = None
    error_contains: str | None = None
    limit: int | None = None


class MessageArguments(QueueArguments):
    """One dead letter: `message_id` is its own id or that of its message."""

    message_id: str | None = None
    data: msgspec.Raw = NOTHING


class PageArguments(QueueArguments):
    """A page of dead letters."""

    offset: int = 0
    limit: int = 50


class DrainArguments(msgspec.Struct):
    """What a task names."""

    subscriptions: list[int]


def text_problem(name: str, text: str) -> str | None:
    """Say why a text cannot be stored as a name; None if it can."""
    if "\0" in text:
        return f"`{name}` must not hold the NUL character"
    if len(text) > MAX_NAME_BYTES // 4 and len(text.encode()) > MAX_NAME_BYTES:
        return f"`{name}` is longer than {MAX_NAME_BYTES} bytes"
    return None


def topic_problem(topic: str) -> str | None:
    """Say why a text cannot be a topic; None if it can."""
    return text_problem("topic", topic) if topic else "`topic` is empty; name the topic"


def _read_time_ms(text: str) -> int:
    try:
        time = msgspec.convert(text, dt.datetime)
    except msgspec.ValidationError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(
            f'`run_at`: "{text[:40]}" is no time; '
            "write it as 2026-01-31T12:00:00Z or in Unix milliseconds"
        )
    return max(0, int(time.timestamp() * 1000))


class QueueNotSet(EngineError):
    """A call names no queue."""

    code = "queue_not_set"


class TopicRequired(EngineError):
    """A call that asks about a topic names none."""

    code = "topic_required"


class MessageIdNotSet(EngineError):
    """A call names no message."""

    code = "message_id_not_set"
