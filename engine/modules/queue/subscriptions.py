"""Who subscribes to which topic here, kept in step with the store's subscriptions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.core.deferred import Deferred
from engine.core.in_step import InStep, Stage
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

DISTRIBUTION_DELAY_S: Final = 1.0
"""Functions that subscribe within so long of the first get the messages that waited for it."""


class Bound(NamedTuple):
    """What a trigger says: how deliveries are made, and how they are repeated."""

    target: Target
    policy: Policy


class TopicSubscription(InStep[Bound]):
    """A function on a topic: its live triggers here, kept in step with the store's subscription.

    The newest trigger says how messages are delivered.
    """

    def __init__(self, owner: Subscriptions, topic: str, function_id: str) -> None:
        super().__init__()
        self.queue = QueueName(QueueKind.TOPIC, topic)
        self.function_id = function_id
        self.consumer: Consumer | None = None
        self._owner = owner
        self._policy: Policy | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the engine stops."""
        return self._owner.is_closed

    @property
    def is_over(self) -> bool:
        """Whether nothing here needs it any more; the store may have it still."""
        return self.is_settled_without_triggers and (
            self.consumer is None or not self.consumer.is_busy
        )

    def found_attached(self, subscription: Subscription) -> None:
        """Take over what the engine before this one had: no worker has it now."""
        self._take(subscription)
        self.schedule()

    def retarget(self) -> None:
        """Let the consumer deliver as the newest trigger says."""
        if self.consumer is not None:
            self.consumer.set_target(self._target)

    @property
    def _target(self) -> Target | None:
        wanted = self.wanted
        return None if wanted is None else wanted.target

    @property
    def _subscription_id(self) -> int:
        assert self.consumer is not None
        return self.consumer.id

    def is_known(self, wanted: Bound) -> bool:
        """Tell whether the store has this policy."""
        return wanted.policy == self._policy

    def attach(self, wanted: Bound) -> Deferred[Subscription]:
        """Subscribe."""
        return self._owner.store.subscribe(self.queue, self.function_id, wanted.policy)

    def detach(self) -> Deferred[None]:
        """Keep receiving."""
        return self._owner.store.detach(self._subscription_id)

    def remove(self) -> Deferred[int]:
        """Unsubscribe."""
        return self._owner.store.unsubscribe(self._subscription_id)

    def _take(self, subscription: Subscription) -> None:
        self.stage = Stage.ATTACHED
        self._policy = subscription.policy
        if self.consumer is None or self.consumer.id != subscription.id:
            self.consumer = Consumer(self._owner.store, subscription, self._owner.drains)
            self._owner.drains.add(self.consumer)

    def on_attached(self, subscription: Subscription) -> None:
        """Deliver."""
        self._take(subscription)
        assert self.consumer is not None
        self.consumer.update(subscription)
        self.consumer.set_target(self._target)
        self._owner.attached(self.queue, has_unclaimed=subscription.has_unclaimed)

    def on_removed(self, waited: int) -> None:
        """Deliver nothing more."""
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

    def on_over(self) -> None:
        """Be forgotten, unless deliveries are under way."""
        self._owner.drop_if_over(self)

    def on_failure(self, error: Exception) -> None:
        """Say so."""
        logger.warning(
            "the subscription of %s to topic %s is not written down yet: %s",
            self.function_id,
            self.queue.name,
            error,
        )


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
        self._at(topic, trigger.function_id).bind(trigger, Bound(target, policy))

    def remove(self, topic: str, trigger: Trigger, *, keep: bool) -> None:
        """Take a trigger from a topic; `keep` its subscription, if it was the last one."""
        self._at(topic, trigger.function_id).unbind(trigger, keep=keep)

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
