"""Who subscribes to which topic here, kept in step with the store's subscriptions."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from engine.core.deferred import Deferred
from engine.modules.queue.adapters.base import (
    Policy,
    QueueKind,
    QueueName,
    QueueStore,
    Subscription,
)
from engine.modules.queue.attempt import Target
from engine.modules.queue.consumer import Consumer
from engine.modules.queue.drains import Drains

if TYPE_CHECKING:
    from engine.core.triggers import Trigger

logger = logging.getLogger(__name__)

T = TypeVar("T")

DISTRIBUTION_DELAY_S: Final = 1.0
"""Functions that subscribe within so long of the first get the messages that waited for it."""

RETRY_S: Final = 1.0
"""When the store is asked again after it has failed."""


class _Stage(enum.Enum):
    """How far a subscription is, or shall be, in the store."""

    UNKNOWN = enum.auto()
    ATTACHED = enum.auto()
    DETACHED = enum.auto()
    REMOVED = enum.auto()


class TopicSubscription:
    """A function on a topic: its live triggers here, and what the store has of it.

    The newest trigger says how messages are delivered. What is wanted and what the store has are
    compared one step at a time, and at the end of the loop's tick where something goes: a trigger
    that is replaced by another of its id leaves no gap in which messages would be lost.
    """

    def __init__(self, owner: Subscriptions, topic: str, function_id: str) -> None:
        self.queue = QueueName(QueueKind.TOPIC, topic)
        self.function_id = function_id
        self.consumer: Consumer | None = None
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._bound: dict[Trigger, tuple[Target, Policy]] = {}
        self._without_triggers = _Stage.DETACHED
        self._stage = _Stage.UNKNOWN
        self._policy: Policy | None = None
        self._is_at_work = False
        self._is_scheduled = False

    @property
    def is_over(self) -> bool:
        """Whether nothing here needs it any more; the store may have it still."""
        return (
            not self._bound
            and not self._is_at_work
            and not self._is_scheduled
            and self._stage is not _Stage.ATTACHED
            and (self.consumer is None or not self.consumer.is_busy)
        )

    def add(self, trigger: Trigger, target: Target, policy: Policy) -> None:
        """Let the newest trigger be in charge, of every message that is enqueued after this."""
        self._bound[trigger] = (target, policy)
        self._retarget()
        if not self._is_at_work:
            self._step()

    def remove(self, trigger: Trigger, *, keep: bool) -> None:
        """Take a trigger away; the last one decides whether the subscription stays."""
        del self._bound[trigger]
        self._without_triggers = _Stage.DETACHED if keep else _Stage.REMOVED
        self._retarget()

    def found_attached(self, subscription: Subscription) -> None:
        """Take over what the engine before this one had: no worker has it now."""
        self._take(subscription)
        self.schedule()

    def _retarget(self) -> None:
        if self.consumer is not None:
            self.consumer.set_target(self._target)
        self.schedule()

    @property
    def _target(self) -> Target | None:
        return next(reversed(self._bound.values()))[0] if self._bound else None

    def schedule(self) -> None:
        """Compare with the store, soon."""
        if not self._is_scheduled and not self._is_at_work:
            self._is_scheduled = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._is_scheduled = False
        if self._bound:
            policy = next(reversed(self._bound.values()))[1]
            if self._stage is not _Stage.ATTACHED or policy != self._policy:
                self._begin(
                    self._owner.store.subscribe(self.queue, self.function_id, policy),
                    self._on_attached,
                )
            return
        if self._stage in {_Stage.UNKNOWN, self._without_triggers, _Stage.REMOVED}:
            self._owner.drop_if_over(self)
            return
        assert self.consumer is not None
        store, subscription_id = self._owner.store, self.consumer.id
        if self._without_triggers is _Stage.DETACHED:
            self._begin(store.detach(subscription_id), self._on_detached)
        else:
            self._begin(store.unsubscribe(subscription_id), self._on_removed)

    def _begin(self, asked: Deferred[T], done: Callable[[T], None]) -> None:
        self._is_at_work = True
        asked.then(lambda answered: self._on_answer(answered, done))

    def _on_answer(self, answered: Deferred[T], done: Callable[[T], None]) -> None:
        self._is_at_work = False
        if self._owner.is_closed:
            return
        if answered.error is None:
            done(answered.value)
            self.schedule()
            return
        logger.warning(
            "the subscription of %s to topic %s is not written down yet: %s",
            self.function_id,
            self.queue.name,
            answered.error,
        )
        self._is_scheduled = True
        self._loop.call_later(RETRY_S, self._step)

    def _take(self, subscription: Subscription) -> None:
        self._stage = _Stage.ATTACHED
        self._policy = subscription.policy
        if self.consumer is None or self.consumer.id != subscription.id:
            self.consumer = Consumer(self._owner.store, subscription, self._owner.drains)
            self._owner.drains.add(self.consumer)

    def _on_attached(self, subscription: Subscription) -> None:
        self._take(subscription)
        assert self.consumer is not None
        self.consumer.update(subscription)
        self.consumer.set_target(self._target)
        self._owner.attached(self.queue, has_unclaimed=subscription.has_unclaimed)

    def _on_detached(self, _: None) -> None:
        self._stage = _Stage.DETACHED

    def _on_removed(self, waited: int) -> None:
        self._stage = _Stage.REMOVED
        if waited:
            logger.info(
                "%s has unsubscribed from topic %s: %d messages that waited for it are gone",
                self.function_id,
                self.queue.name,
                waited,
            )
        consumer, self.consumer = self.consumer, None
        if consumer is not None:
            self._owner.drains.remove(consumer)
            consumer.close()


class Subscriptions:
    """The topics' subscriptions of this engine.

    Args:
        store: where they outlive it.
        drains: delivers what waits for them.

    Attributes:
        is_closed: whether the engine stops: what the store answers is of no interest any more.
    """

    def __init__(self, store: QueueStore, drains: Drains) -> None:
        self.store = store
        self.drains = drains
        self.is_closed = False
        self._loop = asyncio.get_running_loop()
        self._topics: dict[str, dict[str, TopicSubscription]] = {}
        self._distributions: dict[QueueName, asyncio.TimerHandle | None] = {}

    def found(self, known: Sequence[Subscription]) -> None:
        """Take what the store knew at the start: no worker has any of it yet."""
        for each in known:
            if each.is_attached and each.queue.kind is QueueKind.TOPIC:
                self._at(each.queue.name, each.function_id).found_attached(each)

    def add(self, topic: str, trigger: Trigger, target: Target, policy: Policy) -> None:
        """Bind a trigger to a topic."""
        self._at(topic, trigger.function_id).add(trigger, target, policy)

    def remove(self, topic: str, trigger: Trigger, *, keep: bool) -> None:
        """Take a trigger from a topic; `keep` its subscription, if it was the last one."""
        self._at(topic, trigger.function_id).remove(trigger, keep=keep)

    def drop_if_over(self, subscription: TopicSubscription) -> None:
        """Forget a subscription that nothing here needs; the store keeps what it has."""
        if not subscription.is_over:
            return
        topic = subscription.queue.name
        functions = self._topics.get(topic, {})
        if functions.pop(subscription.function_id, None) is None:
            return
        if subscription.consumer is not None:
            self.drains.remove(subscription.consumer)
            subscription.consumer.close()
        if not functions:
            del self._topics[topic]
            timer = self._distributions.pop(subscription.queue, None)
            if timer is not None:
                timer.cancel()

    def prune(self) -> None:
        """Forget those whose worker has gone and whose last deliveries are settled."""
        for functions in list(self._topics.values()):
            for each in list(functions.values()):
                self.drop_if_over(each)

    def attached(self, queue: QueueName, *, has_unclaimed: bool) -> None:
        """Note a subscription that is attached; the first of a topic gets what waits for it."""
        if queue not in self._distributions:
            self._distributions[queue] = None
            if has_unclaimed:
                self._distribute_later(queue)

    def close(self) -> None:
        """Follow nothing more."""
        self.is_closed = True
        for timer in self._distributions.values():
            if timer is not None:
                timer.cancel()

    def _distribute_later(self, queue: QueueName) -> None:
        if self.is_closed or queue not in self._distributions:
            return  # whoever subscribed has gone for good meanwhile
        self._distributions[queue] = self._loop.call_later(
            DISTRIBUTION_DELAY_S, lambda: self._distribute(queue)
        )

    def _distribute(self, queue: QueueName) -> None:
        self._distributions[queue] = None  # the timer has fired
        self.store.distribute(queue).then(lambda done: self._on_distributed(queue, done))

    def _on_distributed(self, queue: QueueName, done: Deferred[tuple[int, ...]]) -> None:
        if done.error is None:
            self.drains.wake(done.value)
            return
        logger.warning(
            "topic %s: what waited for a subscription is given out later: %s",
            queue.name,
            done.error,
        )
        self._distribute_later(queue)

    def _at(self, topic: str, function_id: str) -> TopicSubscription:
        functions = self._topics.setdefault(topic, {})
        found = functions.get(function_id)
        if found is None:
            found = functions[function_id] = TopicSubscription(self, topic, function_id)
        return found
