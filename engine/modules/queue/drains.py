"""Drains: slices of time in which subscriptions are delivered, each asked for by a task.

Whoever executes tasks (Celery) so decides how many drains run at once; the deliveries themselves
are this engine's. A task that is lost is sent again, one that comes twice does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from engine.core.deferred import Deferred
from engine.core.tasks import TaskPatience, TaskSender
from engine.modules.queue.adapters.base import QueueKind, QueueName
from engine.modules.queue.consumer import Consumer

logger = logging.getLogger(__name__)

_TOPIC: Final = QueueKind.TOPIC  # looked up once, not for every message

SLICE_S: Final = 0.25
"""How long a drain lasts at most: then others have their turn at the task's executor."""

RENEWAL_S: Final = 0.2
"""When a drain with more to do asks for the next one, so that there is no gap between them."""

LINGER_S: Final = 0.05
"""How long a drain goes on without anything to claim: the next message needs no task then."""

MAX_OUTSTANDING: Final = 4
"""How many drains of this engine are on their way or under way at once."""

MAX_SUBSCRIPTIONS: Final = 1_000
"""How many subscriptions one task names."""

FLUSH_S: Final = 5.0
"""How long a stopping engine waits for its store."""


class Drain(Deferred[bytes]):
    """A drain under way; settled with `{"claimed": n}` when it is over."""

    __slots__ = ("_claimed", "_consumers", "_drains", "_ends_at", "_last_claim", "_loop", "_timer")

    def __init__(self, drains: Drains) -> None:
        super().__init__()
        self._drains = drains
        self._loop = asyncio.get_running_loop()
        self._consumers: dict[Consumer, None] = {}
        self._claimed = 0
        now = self._loop.time()
        self._last_claim = now
        self._ends_at = now + SLICE_S
        self._timer = self._loop.call_at(now + LINGER_S, self._look)

    def cover(self, consumer: Consumer) -> None:
        """Let a consumer claim until the drain is over."""
        if consumer not in self._consumers:
            self._consumers[consumer] = None
            self._last_claim = self._loop.time()
            consumer.open(self)

    def note_claimed(self, count: int) -> None:
        """Count what a consumer has claimed."""
        self._claimed += count
        self._last_claim = self._loop.time()

    def end(self) -> None:
        """End now; what is still due is asked for anew by its consumer."""
        if self.is_done:
            return
        self._timer.cancel()
        self._drains.ended(self)
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers:
            consumer.leave(self)
        self.resolve(b'{"claimed":%d}' % self._claimed)

    def _look(self) -> None:
        now = self._loop.time()
        quiet_at = self._last_claim + LINGER_S
        if now >= self._ends_at or now >= quiet_at:
            self.end()
            return
        renewal_at = self._ends_at - SLICE_S + RENEWAL_S
        if now >= renewal_at:
            for consumer in self._consumers:
                if consumer.wants_drain:
                    self._drains.want(consumer)
            renewal_at = self._ends_at
        self._timer = self._loop.call_at(min(quiet_at, renewal_at, self._ends_at), self._look)


class Drains:
    """Who wants a drain, and the tasks and drains that are outstanding.

    Args:
        sender: sends the tasks.
    """

    def __init__(self, sender: TaskSender) -> None:
        self._sender = sender
        self._loop = asyncio.get_running_loop()
        self._consumers: dict[int, Consumer] = {}
        self._of_topic: dict[str, tuple[Consumer, ...]] = {}
        self._of_named: dict[str, tuple[Consumer, ...]] = {}
        self._wanted: dict[Consumer, None] = {}
        self._sent: dict[tuple[int, ...], float] = {}
        self._marked: set[int] = set()
        self._running: dict[Drain, None] = {}
        self._patience = TaskPatience()
        self._is_flushing = False
        self._is_closed = False
        self._watch: asyncio.TimerHandle | None = None

    @property
    def consumers(self) -> Iterable[Consumer]:
        """Every consumer of this engine."""
        return self._consumers.values()

    def find(self, subscription_id: int) -> Consumer | None:
        """Return the consumer of a subscription, if this engine has one."""
        return self._consumers.get(subscription_id)

    def add(self, consumer: Consumer) -> None:
        """Know a consumer from now on."""
        self._consumers[consumer.id] = consumer
        queue = consumer.subscription.queue
        known = self._by_name(queue)
        known[queue.name] = (*known.get(queue.name, ()), consumer)

    def remove(self, consumer: Consumer) -> None:
        """Forget a consumer."""
        if self._consumers.get(consumer.id) is not consumer:
            return
        del self._consumers[consumer.id]
        self._wanted.pop(consumer, None)
        queue = consumer.subscription.queue
        known = self._by_name(queue)
        left = tuple([each for each in known[queue.name] if each is not consumer])
        if left:
            known[queue.name] = left
        else:
            del known[queue.name]

    def anticipate(self, queue: QueueName) -> None:
        """Let the consumers of a queue look for a message that is about to be stored.

        Their turn shares its commit, or their task is on its way meanwhile: a message that comes
        alone is so delivered after one commit instead of two commits and the way of a task.
        """
        for consumer in self._by_name(queue).get(queue.name, ()):
            consumer.note_message(0)

    def _by_name(self, queue: QueueName) -> dict[str, tuple[Consumer, ...]]:
        # By name alone: the hash of an enumeration's member is a call of its own.
        return self._of_topic if queue.kind is _TOPIC else self._of_named

    def wake(self, subscriptions: Iterable[int]) -> None:
        """Let subscriptions look for due deliveries; those of other engines are theirs."""
        for each in subscriptions:
            consumer = self._consumers.get(each)
            if consumer is not None:
                consumer.wake()

    def note_due(self, subscriptions: Iterable[int]) -> None:
        """Let subscriptions be delivered of which the store says that something is due.

        So they are not paused, whatever was last said here: another engine may have resumed them.
        """
        for each in subscriptions:
            consumer = self._consumers.get(each)
            if consumer is not None:
                consumer.set_paused(False)

    def want(self, consumer: Consumer) -> None:
        """Ask for a drain of a subscription, with others at the end of the loop's tick."""
        if consumer.id in self._marked or consumer in self._wanted or self._is_closed:
            return
        self._wanted[consumer] = None
        self._flush_soon()

    def drain(self, subscriptions: Sequence[int]) -> Deferred[bytes]:
        """Begin a drain: what a task does. Subscriptions of other engines are passed over."""
        drain = Drain(self)
        self._forget_task(tuple(subscriptions))
        self._running[drain] = None
        found = [each for each in map(self._consumers.get, subscriptions) if each is not None]
        if self._is_closed or not found:
            drain.end()
            return drain
        for consumer in found:
            self._wanted.pop(consumer, None)
            drain.cover(consumer)
        self._be_impatient()
        self._flush_soon()  # what has to wait for a task may be covered by this drain
        return drain

    def ended(self, drain: Drain) -> None:
        """Note the end of a drain: the next task may go."""
        del self._running[drain]
        self._flush_soon()

    def close(self) -> None:
        """Send no more tasks, and end what is under way."""
        self._is_closed = True
        self._wanted.clear()
        if self._watch is not None:
            self._watch.cancel()
        for drain in list(self._running):
            drain.end()

    async def finish(self) -> None:
        """Wait until the outcomes that are there are stored, but not for ever; then forget all."""
        pending = [consumer.flush() for consumer in self._consumers.values()]
        try:
            async with asyncio.timeout(FLUSH_S):
                await asyncio.gather(*pending)
        except TimeoutError:
            logger.warning("outcomes could not be stored: what they are of is delivered again")
        for consumer in self._consumers.values():
            consumer.close()

    def _flush_soon(self) -> None:
        if self._wanted and not self._is_flushing and not self._is_closed:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send one task for all that want a drain, or let a running drain cover them."""
        self._is_flushing = False
        if self._is_closed or not self._wanted:
            return
        if len(self._sent) + len(self._running) >= MAX_OUTSTANDING:
            # Its slice bounds what they get from it; where only tasks are on their way, they wait.
            youngest = next(reversed(self._running), None)
            if youngest is not None:
                wanted, self._wanted = self._wanted, {}
                for consumer in wanted:
                    youngest.cover(consumer)
            return
        chosen = list(self._wanted)[:MAX_SUBSCRIPTIONS]
        for consumer in chosen:
            del self._wanted[consumer]
        ids = tuple([consumer.id for consumer in chosen])
        self._sent[ids] = self._loop.time()
        self._marked.update(ids)
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience.limit_s, self._look_for_lost)
        self._sender.send_drain(ids)
        self._flush_soon()

    def _look_for_lost(self) -> None:
        """Ask anew for what was sent too long ago, as far as it is still wanted."""
        self._watch = None
        latest = self._loop.time() - self._patience.limit_s
        lost = [ids for ids, at in self._sent.items() if at <= latest]
        if lost:
            self._patience.note_lost()
        for ids in lost:
            self._forget_task(ids)
            for each in ids:
                consumer = self._consumers.get(each)
                if consumer is not None and consumer.wants_drain:
                    self.want(consumer)
        if self._sent:
            oldest = min(self._sent.values())
            self._watch = self._loop.call_at(oldest + self._patience.limit_s, self._look_for_lost)

    def _be_impatient(self) -> None:
        """Tasks are executed: those that are lost from now on are missed as soon as usual."""
        if self._patience.note_begun() and self._watch is not None:
            self._watch.cancel()
            self._watch = self._loop.call_later(self._patience.limit_s, self._look_for_lost)

    def _forget_task(self, ids: tuple[int, ...]) -> None:
        if self._sent.pop(ids, None) is not None:
            self._marked.difference_update(ids)
