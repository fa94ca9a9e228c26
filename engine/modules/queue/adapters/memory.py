"""Messages in memory: complete, and gone with the engine; `store_method: in_memory`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from engine.modules.queue.adapters.base import (
    DEAD_RETENTION_MS,
    IDEMPOTENCY_MS,
    SWEEP_SIZE,
    UNCLAIMED_LIMIT,
    UNCLAIMED_RETENTION_MS,
    Chosen,
    DeadLetter,
    Done,
    Due,
    Failed,
    NewMessage,
    Outcome,
    Policy,
    QueueKind,
    QueueName,
    QueueStats,
    QueueStore,
    Receipt,
    Subscription,
    Turn,
)
from engine.modules.queue.adapters.memory_rows import (
    KeptQueue,
    KeptSubscription,
    Row,
    State,
    matching,
)
from kv.clock import now_ms
from kv.stores.executor import StoreOverloaded

T = TypeVar("T")

MAX_BYTES: Final = 512 * 1024 * 1024
"""What all payloads may take together; more is refused."""


class MemoryQueueStore(QueueStore):
    """Queues as dicts and heaps; everything is done at once."""

    place = "memory (lost when the engine stops)"
    is_durable = False

    def __init__(self) -> None:
        self._queues: dict[QueueName, KeptQueue] = {}
        self._subscriptions: dict[int, KeptSubscription] = {}
        self._ids = itertools.count(1)
        self._bytes = 0

    async def start(self) -> Sequence[Subscription]:
        """Know nothing yet."""
        return ()

    # --- subscriptions --------------------------------------------------------------------------

    def subscribe(
        self, queue: QueueName, function_id: str, policy: Policy
    ) -> Deferred[Subscription]:
        """Attach a subscription, made if there is none."""
        return _done(lambda: self._subscribe(queue, function_id, policy))

    def _subscribe(self, name: QueueName, function_id: str, policy: Policy) -> Subscription:
        queue = self._queue(name)
        subscription = queue.subscriptions.get(function_id)
        if subscription is None:
            subscription = KeptSubscription(next(self._ids), queue, function_id, policy)
            queue.subscriptions[function_id] = subscription
            self._subscriptions[subscription.id] = subscription
        subscription.detached_at_ms = None
        subscription.set_policy(policy, now_ms())
        return subscription.view()

    def detach(self, subscription_id: int) -> Deferred[None]:
        """Note that no worker has it any more."""
        subscription = self._subscriptions.get(subscription_id)
        if subscription is not None and subscription.detached_at_ms is None:
            subscription.detached_at_ms = now_ms()
        return _done(lambda: None)

    def unsubscribe(self, subscription_id: int) -> Deferred[int]:
        """Remove it with all that waits for it."""
        return _done(lambda: self._unsubscribe(subscription_id))

    def _unsubscribe(self, subscription_id: int) -> int:
        subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is None:
            return 0
        self._bytes -= sum(len(row.data) for row in subscription.rows.values())
        del subscription.queue.subscriptions[subscription.function_id]
        self._drop_if_idle(subscription.queue)
        return len(subscription.rows)

    def distribute(self, queue: QueueName) -> Deferred[tuple[int, ...]]:
        """Give what waited for a subscription to all that there are now."""
        return _done(lambda: self._distribute(queue))

    def _distribute(self, name: QueueName) -> tuple[int, ...]:
        queue = self._queues.get(name)
        if queue is None or not queue.subscriptions or not queue.unclaimed:
            return ()
        now = now_ms()
        for message, at_ms in queue.unclaimed:
            self._bytes -= len(message.data)
            self._fan_out(queue, message, at_ms, now)
        queue.unclaimed.clear()
        return tuple(each.id for each in queue.subscriptions.values())

    # --- the way of a message ---------------------------------------------------------------------

    def enqueue(self, message: NewMessage, finish: Callable[[Receipt], T]) -> Deferred[T]:
        """Put a message into a queue."""
        return _done(lambda: finish(self._enqueue(message)))

    def _enqueue(self, message: NewMessage) -> Receipt:
        if self._bytes + len(message.data) > MAX_BYTES:
            raise StoreOverloaded(f"messages in memory take {MAX_BYTES} bytes already")
        queue = self._queue(message.queue)
        now = now_ms()
        if message.idempotency_key:
            known, until_ms = queue.keys.get(message.idempotency_key, ("", 0))
            if until_ms > now:
                return Receipt(known, True, ())
            queue.keys[message.idempotency_key] = (message.id, now + IDEMPOTENCY_MS)
        if queue.unclaimed or not queue.subscriptions:
            queue.unclaimed.append((message, now))
            self._bytes += len(message.data)
            if len(queue.unclaimed) > UNCLAIMED_LIMIT:
                self._bytes -= len(queue.unclaimed.popleft()[0].data)
            return Receipt(message.id, False, ())
        self._fan_out(queue, message, now, now)
        return Receipt(message.id, False, tuple([each.id for each in queue.subscriptions.values()]))

    def _fan_out(self, queue: KeptQueue, message: NewMessage, at_ms: int, now: int) -> None:
        for subscription in queue.subscriptions.values():
            function_id = message.function_id or subscription.function_id
            subscription.add(Row(next(self._ids), message, function_id, at_ms), now)
            self._bytes += len(message.data)

    def turn(self, subscription_id: int, outcomes: Sequence[Outcome], limit: int) -> Deferred[Turn]:
        """Store outcomes and claim due deliveries."""
        return _done(lambda: self._turn(subscription_id, outcomes, limit))

    def _turn(self, subscription_id: int, outcomes: Sequence[Outcome], limit: int) -> Turn:
        subscription = self._subscriptions.get(subscription_id)
        if subscription is None:
            return Turn((), False, None, lost=len(outcomes))
        now = now_ms()
        lost = 0
        for outcome in outcomes:
            row = subscription.claimed.get(outcome.id)
            if row is None or row.attempts != outcome.attempt:
                lost += 1
            else:
                self._settle(subscription, row, outcome, now)
        claimed = subscription.claim(limit, now) if subscription.is_open else ()
        return Turn(
            claimed=[row.delivery() for row in claimed],
            has_more=subscription.has_due(now),
            next_run_at_ms=subscription.next_run_at_ms(),
            lost=lost,
        )

    def _settle(self, subscription: KeptSubscription, row: Row, outcome: Outcome, now: int) -> None:
        if isinstance(outcome, Done):
            subscription.delivered += outcome.is_success
            subscription.remove(row, now)
            self._bytes -= len(row.data)
        elif isinstance(outcome, Failed):
            subscription.failed += 1
            row.note_failure(outcome)
            if outcome.retry_at_ms is None:
                subscription.remove(row, now)
                subscription.queue.dead[row.id] = row
            else:
                subscription.postpone(row, outcome.retry_at_ms, now)
        else:
            subscription.give_back(row, now)

    def due(self) -> Deferred[Due]:
        """Tell what is due."""
        return _done(self._due)

    def _due(self) -> Due:
        now = now_ms()
        subscriptions = self._subscriptions.values()
        run_times = [each.next_run_at_ms() for each in subscriptions]
        return Due(
            tuple(each.id for each in subscriptions if not each.claimed and each.has_due(now)),
            min((each for each in run_times if each is not None), default=None),
        )

    def take_outbox(self) -> Deferred[tuple[int, ...]]:
        """Return nothing: there is no outbox in memory."""
        return _done(lambda: ())

    def sweep(self) -> Deferred[int]:
        """Delete what is over."""
        return _done(self._sweep)

    def _sweep(self) -> int:
        now = now_ms()
        swept = 0
        for queue in list(self._queues.values()):
            swept += self._sweep_queue(queue, now)
            self._drop_if_idle(queue)
        return swept

    def _sweep_queue(self, queue: KeptQueue, now: int) -> int:
        swept = 0
        while queue.unclaimed and queue.unclaimed[0][1] <= now - UNCLAIMED_RETENTION_MS:
            self._bytes -= len(queue.unclaimed.popleft()[0].data)
            swept += 1
        old = [row for row in queue.dead.values() if row.failed_at_ms <= now - DEAD_RETENTION_MS]
        self._discard_rows(queue, old[:SWEEP_SIZE])
        keys = [key for key, (_, until_ms) in queue.keys.items() if until_ms <= now]
        for key in keys[:SWEEP_SIZE]:
            del queue.keys[key]
        swept += min(len(old), SWEEP_SIZE) + min(len(keys), SWEEP_SIZE)
        for subscription in list(queue.subscriptions.values()):
            for row in list(itertools.islice(subscription.expired(now), SWEEP_SIZE)):
                subscription.remove(row, now)
                self._bytes -= len(row.data)
                swept += 1
            detached_at_ms = subscription.detached_at_ms
            if (
                detached_at_ms is not None
                and detached_at_ms + subscription.policy.retention_ms <= now
            ):
                swept += 1 + self._unsubscribe(subscription.id)
        return swept

    # --- for people -------------------------------------------------------------------------------

    def queues(self) -> Deferred[Sequence[QueueStats]]:
        """Return every queue with its figures, by name."""
        return _done(lambda: [self._stats(self._queues[name]) for name in sorted(self._queues)])

    def stats(self, queue: QueueName) -> Deferred[QueueStats | None]:
        """Return the figures of one queue."""
        kept = self._queues.get(queue)
        return _done(lambda: None if kept is None else self._stats(kept))

    def _stats(self, queue: KeptQueue) -> QueueStats:
        now = now_ms()
        subscriptions = queue.subscriptions.values()
        rows = [row for each in subscriptions for row in each.rows.values()]
        in_flight = sum(len(each.claimed) for each in subscriptions)
        is_late = [row.state is State.DELAYED and row.run_at_ms > now for row in rows]
        delayed = sum(is_late)
        times = [
            *(row.enqueued_at_ms for row, late in zip(rows, is_late, strict=True) if not late),
            *(at_ms for _, at_ms in queue.unclaimed),
        ]
        return QueueStats(
            name=queue.name,
            is_paused=queue.is_paused,
            waiting=len(times) - in_flight,
            delayed=delayed,
            in_flight=in_flight,
            dead=len(queue.dead),
            oldest_age_ms=max(0, now - min(times)) if times else None,
            delivered=sum(each.delivered for each in subscriptions),
            failed=sum(each.failed for each in subscriptions),
            subscribers=sum(each.detached_at_ms is None for each in subscriptions),
            policy=next((each.policy for each in subscriptions), None),
        )

    def dead_letters(
        self, queue: QueueName, offset: int, limit: int
    ) -> Deferred[Sequence[DeadLetter]]:
        """Return dead letters, the oldest failure first."""
        kept = self._queues.get(queue)
        rows = _oldest_first(kept) if kept is not None else []
        return _done(lambda: [row.dead_letter() for row in rows[offset : offset + limit]])

    def set_paused(self, queue: QueueName, is_paused: bool) -> Deferred[tuple[int, ...]]:
        """Pause or resume a queue."""
        return _done(lambda: self._set_paused(queue, is_paused))

    def _set_paused(self, name: QueueName, is_paused: bool) -> tuple[int, ...]:
        queue = self._queue(name)
        queue.is_paused = is_paused
        ids = tuple(each.id for each in queue.subscriptions.values())
        self._drop_if_idle(queue)
        return ids

    def redrive(
        self, queue: QueueName, chosen: Chosen, data: bytes | None = None
    ) -> Deferred[tuple[int, tuple[int, ...]]]:
        """Let dead letters be delivered anew, at the end of their queue."""
        return _done(lambda: self._redrive(queue, chosen, data))

    def _redrive(
        self, name: QueueName, chosen: Chosen, data: bytes | None
    ) -> tuple[int, tuple[int, ...]]:
        queue = self._queues.get(name)
        if queue is None:
            return 0, ()
        now = now_ms()
        redriven = 0
        woken: dict[int, None] = {}
        for row in _choose(queue, chosen):
            subscription = queue.subscriptions.get(_subscriber(name, row))
            if subscription is None and queue.subscriptions:
                continue  # nobody would get it: it stays until somebody does, or it is discarded
            del queue.dead[row.id]
            self._bytes += 0 if data is None else len(data) - len(row.data)
            row.begin_anew(next(self._ids), data)
            redriven += 1
            if subscription is None:
                queue.unclaimed.append((row.as_message(), now))
                continue
            subscription.add(row, now)
            woken[subscription.id] = None
        return redriven, tuple(woken)

    def discard(self, queue: QueueName, chosen: Chosen) -> Deferred[int]:
        """Delete dead letters for good."""
        kept = self._queues.get(queue)
        if kept is None:
            return _done(lambda: 0)
        return _done(lambda: self._discard_rows(kept, _choose(kept, chosen)))

    def _discard_rows(self, queue: KeptQueue, rows: Sequence[Row]) -> int:
        for row in rows:
            del queue.dead[row.id]
            self._bytes -= len(row.data)
        self._drop_if_idle(queue)
        return len(rows)

    def _queue(self, name: QueueName) -> KeptQueue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = KeptQueue(name)
        return queue

    def _drop_if_idle(self, queue: KeptQueue) -> None:
        if queue.is_idle:
            self._queues.pop(queue.name, None)


def _subscriber(queue: QueueName, row: Row) -> str:
    return row.function_id if queue.kind is QueueKind.TOPIC else ""


def _oldest_first(queue: KeptQueue) -> list[Row]:
    return sorted(queue.dead.values(), key=lambda row: (row.failed_at_ms, row.id))


def _choose(queue: KeptQueue, chosen: Chosen) -> list[Row]:
    """Return the dead letters that are meant, the oldest first."""
    ids = None if chosen.ids is None else set(chosen.ids)
    has_error = matching(chosen.error_contains)
    found = [
        row
        for row in _oldest_first(queue)
        if (chosen.function_id is None or row.function_id == chosen.function_id)
        and (ids is None or str(row.id) in ids or row.message.id in ids)
        and has_error(row)
    ]
    return found[: chosen.limit]


def _done(result: Callable[[], T]) -> Deferred[T]:
    """Return the outcome of something that is done at once."""
    done: Deferred[T] = Deferred()
    try:
        value = result()
    except EngineError as error:
        done.reject(error)
    else:
        done.resolve(value)
    return done
