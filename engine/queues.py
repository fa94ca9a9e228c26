"""The Python API for Django projects: messages that exist if and only if a transaction commits.

A message is written as a row of the project's own transaction (a transactional outbox). After the
commit the engine takes it over and puts it into its topic as `enqueue` does.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import msgspec
from django.db import connections, router, transaction
from django.utils.functional import Promise

from engine import outbox
from engine.core.outgoing import random_uuid
from engine.models import OutboxMessage
from engine.modules.queue.adapters.outbox import OutboxOptions
from engine.modules.queue.arguments import SendOptions, topic_problem
from kv.clock import now_ms

__all__ = ["EnqueueError", "enqueue"]


class EnqueueError(ValueError):
    """A message cannot be enqueued as it was given; nothing was written."""


def enqueue(
    topic: str,
    data: Any,
    *,
    message_group: str | None = None,
    delay_ms: int | None = None,
    run_at: dt.datetime | int | None = None,
    idempotency_key: str | None = None,
    ttl_ms: int | None = None,
    using: str | None = None,
) -> str:
    """Put a message into a topic if the running transaction commits, and only then.

    Outside a transaction the message is there when the call returns. Everything is checked at
    once; nothing of the engine or of its broker need be up.

    Args:
        topic: which functions get it: those that subscribe to this topic.
        data: goes out as JSON; also dates, UUIDs, decimals, dataclasses. `msgspec.Raw` is JSON
            text that goes out as it is.
        message_group: where a function's queue is FIFO, its order holds within the group.
        delay_ms: how long it waits first, in milliseconds from now.
        run_at: or until when: an aware datetime, or Unix milliseconds.
        idempotency_key: a second message of this topic and key within 24 hours is dropped.
        ttl_ms: after so many milliseconds from now nobody gets it any more.
        using: the alias of the database that has the engine's tables; by default where Django's
            routers send them. A transaction on another database does not cover the message.

    Returns:
        The message's id, which its handlers find in the metadata of their call.

    Raises:
        EnqueueError: an argument makes no sense; the message names it.
        django.db.DatabaseError: the row could not be written.
    """
    given = {
        "message_group": message_group,
        "delay_ms": delay_ms,
        "run_at": _instant_ms(run_at) if isinstance(run_at, dt.datetime) else run_at,
        "idempotency_key": idempotency_key,
        "ttl_ms": ttl_ms,
    }
    message_id = random_uuid()
    options = _checked(topic, given, now_ms())
    options.message_id = message_id
    text = _json_text(data)
    alias = using or _alias()
    OutboxMessage.objects.using(alias).create(
        topic=topic, data=text, options=msgspec.json.encode(options).decode()
    )
    # A failure to wake must not look like one of the transaction, which has been committed. No
    # `partial` here: Django fails to log the failure of a robust one, which has no name.
    transaction.on_commit(lambda: outbox.wake(alias), using=alias, robust=True)
    return message_id


def _alias() -> str:
    """Return the database of the engine's tables.

    Raises:
        EnqueueError: the running transaction is on another one, so it would not cover the message.
    """
    alias: str = router.db_for_write(OutboxMessage)
    if connections[alias].in_atomic_block:
        return alias
    others = (each for each in connections.all(initialized_only=True) if each.in_atomic_block)
    other = next(others, None)
    if other is not None:
        raise EnqueueError(
            f"the transaction is on the database {other.alias!r}, the engine's tables are on "
            f"{alias!r}: the message would stay if the transaction rolls back. Begin it with "
            f"transaction.atomic(using={alias!r}), or say using={alias!r} here to enqueue at once"
        )
    return alias


def _checked(topic: object, given: dict[str, Any], now: int) -> OutboxOptions:
    """Check what `enqueue` would check later, when nobody could be told any more."""
    if not isinstance(topic, str):
        raise EnqueueError(f"topic: must be a string, not {type(topic).__name__}")
    try:
        options = msgspec.convert(given, SendOptions)
        problem = topic_problem(topic) or options.problem()
        run_at_ms = options.run_at_ms(now)
        for text in (topic, options.message_group, options.idempotency_key):
            (text or "").encode()  # no database takes half a character
    except ValueError as error:
        raise EnqueueError(str(error)) from error
    if problem is not None:
        raise EnqueueError(problem)
    return OutboxOptions(
        message_group=options.message_group or None,
        run_at=run_at_ms or None,
        expires_at=None if options.ttl_ms is None else now + options.ttl_ms,
        idempotency_key=options.idempotency_key or None,
    )


def _instant_ms(run_at: dt.datetime) -> int:
    if run_at.tzinfo is None:
        raise EnqueueError("run_at: has no time zone; use django.utils.timezone.now()")
    return max(0, math.ceil(run_at.timestamp() * 1_000))


def _json_text(data: object) -> str:
    try:
        text = msgspec.json.encode(data, enc_hook=_encode_lazy)
        if isinstance(data, msgspec.Raw):
            msgspec.json.decode(text, type=msgspec.Raw)  # it has been checked by nobody yet
        return text.decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EnqueueError(f"data: cannot be written as JSON: {error}") from error


def _encode_lazy(value: object) -> object:
    """Encode what msgspec does not know: texts that Django translates late."""
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON; turn it into a dict, list or text first")
