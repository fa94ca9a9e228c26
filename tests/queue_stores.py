"""What tests do with queue stores: put messages in, claim them, say what has become of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest

from engine.modules.queue.adapters.base import (
    Delivery,
    Done,
    Failed,
    NewMessage,
    Outcome,
    Policy,
    QueueKind,
    QueueName,
    QueueStore,
    Receipt,
    Turn,
)

TOPIC = QueueName(QueueKind.TOPIC, "orders")
OTHER = QueueName(QueueKind.TOPIC, "others")
NAMED = QueueName(QueueKind.NAMED, "orders")

STANDARD = Policy()
FIFO = Policy(is_fifo=True)

START_MS = 1_700_000_000_000
"""The present of tests whose clock stands."""

CLOCKS = (
    "engine.modules.queue.adapters.memory",
    "engine.modules.queue.adapters.database",
    "engine.modules.queue.adapters.intake",
    "engine.modules.queue.adapters.layout",
    "engine.modules.queue.adapters.turns",
    "engine.modules.queue.adapters.outbox",
    "engine.modules.queue.adapters.figures",
    "engine.modules.queue.adapters.sweeping",
)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START_MS
        for module in CLOCKS:
            monkeypatch.setattr(f"{module}.now_ms", lambda: self.now)


_numbers = itertools.count(1)


async def put(
    store: QueueStore,
    data: str = "1",
    *,
    queue: QueueName = TOPIC,
    group: str = "",
    run_at_ms: int = 0,
    expires_at_ms: int | None = None,
    key: str = "",
    function_id: str = "",
) -> Receipt:
    message = NewMessage(
        f"message-{next(_numbers)}",
        queue,
        data.encode(),
        function_id=function_id,
        group=group,
        run_at_ms=run_at_ms,
        expires_at_ms=expires_at_ms,
        idempotency_key=key,
    )
    return await store.enqueue(message, lambda receipt: receipt)


async def subscribe(
    store: QueueStore, function_id: str = "f", policy: Policy = STANDARD, queue: QueueName = TOPIC
) -> int:
    return (await store.subscribe(queue, function_id, policy)).id


async def take(
    store: QueueStore, subscription: int, outcomes: Sequence[Outcome] = (), limit: int = 100
) -> Turn:
    """Take a turn; whatever sequence the deliveries come in is a list."""
    turn = await store.turn(subscription, outcomes, limit)
    return msgspec.structs.replace(turn, claimed=list(turn.claimed))


async def claim(store: QueueStore, subscription: int, limit: int = 100) -> list[Delivery]:
    return list((await store.turn(subscription, (), limit)).claimed)


def values(deliveries: Sequence[Delivery]) -> list[str]:
    return [each.data.decode() for each in deliveries]


def done(delivery: Delivery) -> Done:
    return Done(delivery.id, delivery.attempt)


def failed(delivery: Delivery, retry_at_ms: int | None, error: str = "no") -> Failed:
    return Failed(delivery.id, delivery.attempt, error, START_MS, retry_at_ms)


async def kill(store: QueueStore, subscription: int, error: str = "no") -> list[Delivery]:
    """Make dead letters of all that is due."""
    deliveries = await claim(store, subscription)
    await store.turn(subscription, [failed(each, None, error) for each in deliveries], 0)
    return deliveries
