"""What queues and subscriptions there are in the database, and how that changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from django.db.models import QuerySet

from engine.models import Delivery, Queue, QueueSubscription
from engine.modules.queue.adapters.base import (
    NewMessage,
    Policy,
    QueueKind,
    QueueName,
    Subscription,
)
from engine.modules.queue.adapters.intake import row_for
from engine.modules.queue.adapters.known import read_policy, write_policy
from engine.modules.queue.adapters.statements import Statements
from kv.clock import now_ms
from kv.stores.connection import StoreConnection

DISTRIBUTED_AT_ONCE: Final = 100
"""How many messages are in memory while those that waited are given out."""

READY: Final = Delivery.State.READY
CLAIMED: Final = Delivery.State.CLAIMED
DELAYED: Final = Delivery.State.DELAYED
UNCLAIMED: Final = Delivery.State.UNCLAIMED


class Subscribe(NamedTuple):
    """A subscription that is to be attached."""

    queue: QueueName
    function_id: str
    policy: Policy


class Layout:
    """Changes what subscriptions there are; every method runs in the database thread.

    Args:
        alias: the database.
        attached: the subscriptions that a worker of this engine has; kept here.
    """

    def __init__(self, alias: str, statements: Statements, attached: set[int]) -> None:
        self._alias = alias
        self._statements = statements
        self._attached = attached

    def start(self, connection: StoreConnection, *, is_shared: bool) -> Sequence[Subscription]:
        """Make due again what is in nobody's hands, and note who has lost its workers."""
        self._statements.change_layout(connection)
        subscriptions = QueueSubscription.objects.using(self._alias)
        # In the order in which turns lock them.
        known = list(
            subscriptions.select_related("queue").select_for_update(of=("self",)).order_by("id")
        )
        if not is_shared:
            subscriptions.update(holder=None, is_wanted=False)
        # A restored backup may say of a delivery that it is in flight; nobody holds it then.
        Delivery.objects.using(self._alias).filter(
            state=CLAIMED, subscription__in=subscriptions.filter(holder=None).values("id")
        ).update(state=READY)
        # Engines that live see that of theirs when they next look for what is due.
        subscriptions.filter(detached_at=None, queue__kind=QueueKind.TOPIC.value).update(
            detached_at=now_ms()
        )
        self._statements.forget_layout()
        found = [_subscription(row) for row in known]
        self._attached.update(each.id for each in found if each.is_attached)
        return found

    def subscribe(
        self, connection: StoreConnection, wanted: Sequence[Subscribe]
    ) -> list[Subscription]:
        """Attach subscriptions, made where there are none."""
        self._statements.change_layout(connection)
        names = dict.fromkeys(each.queue for each in wanted)
        queues = self._statements.queues(connection, names)
        # The last of several about the same one is in charge.
        policies = {
            (queues[each.queue].id, each.function_id): write_policy(each.policy) for each in wanted
        }
        ids = self._write_subscriptions(policies)
        self._attached.update(ids.values())
        self._statements.forget_layout()
        return [
            Subscription(
                id=ids[queues[each.queue].id, each.function_id],
                queue=each.queue,
                function_id=each.function_id,
                policy=each.policy,
                is_attached=True,
                is_paused=queues[each.queue].is_paused,
                has_unclaimed=queues[each.queue].has_unclaimed,
            )
            for each in wanted
        ]

    def _write_subscriptions(
        self, policies: Mapping[tuple[int, str], str]
    ) -> dict[tuple[int, str], int]:
        """Make or change subscriptions, by queue and function; return the ids of their rows."""
        rows = QueueSubscription.objects.using(self._alias)
        # Locked in the order in which turns lock them.
        former = {
            (row.queue_id, row.function_id): row
            for row in rows.filter(queue__in={queue_id for queue_id, _ in policies})
            .select_for_update()
            .order_by("id")
            if (row.queue_id, row.function_id) in policies
        }
        for key, row in former.items():
            if row.policy != policies[key]:
                self._change_policy(row, policies[key])
        detached = [row.id for row in former.values() if row.detached_at is not None]
        rows.filter(id__in=detached).update(detached_at=None)
        new = [
            QueueSubscription(queue_id=queue_id, function_id=function_id, policy=policy)
            for (queue_id, function_id), policy in policies.items()
            if (queue_id, function_id) not in former
        ]
        rows.bulk_create(new)
        return {(row.queue_id, row.function_id): row.id for row in (*former.values(), *new)}

    def _change_policy(self, row: QueueSubscription, text: str) -> None:
        is_fifo = read_policy(text).is_fifo
        if read_policy(row.policy).is_fifo != is_fifo:
            self._change_order(row.id, is_fifo=is_fifo)
        QueueSubscription.objects.using(self._alias).filter(id=row.id).update(policy=text)

    def _change_order(self, subscription: int, *, is_fifo: bool) -> None:
        """Let what waits of a subscription be FIFO from now on, or no longer."""
        rows = Delivery.objects.using(self._alias).filter(subscription=subscription)
        if is_fifo:
            # Without a group of its own a message is in that of all such; which ones have to wait
            # behind others is seen when they would be claimed.
            for state in (READY, CLAIMED, DELAYED):
                rows.filter(state=state, message_group=None).update(message_group="")
            return
        behind = rows.filter(state=Delivery.State.BEHIND, state__lt=4, message_group__isnull=False)
        behind.filter(run_at__gt=now_ms()).update(state=DELAYED)
        behind.update(state=READY)

    def detach(self, subscriptions: Collection[int]) -> None:
        """Note that no worker of this engine has these subscriptions any more."""
        self._attached.difference_update(subscriptions)
        QueueSubscription.objects.using(self._alias).filter(
            id__in=subscriptions, detached_at=None, queue__kind=QueueKind.TOPIC.value
        ).update(detached_at=now_ms())

    def mend(self, subscriptions: Sequence[int]) -> None:
        """Note that a worker of this engine has these, though another engine's has gone."""
        rows = QueueSubscription.objects.using(self._alias)
        for subscription in sorted(self._attached.intersection(subscriptions)):
            rows.filter(id=subscription).update(detached_at=None)

    def unsubscribe(self, connection: StoreConnection, subscription: int) -> int:
        """Remove a subscription and what waits for it; return how much that was."""
        self._statements.change_layout(connection)
        self._attached.discard(subscription)
        found = QueueSubscription.objects.using(self._alias).filter(id=subscription)
        # Locked as for a turn, which may be on its way in another engine.
        queue_ids = list(found.select_for_update().values_list("queue_id", flat=True))
        waited = 0
        rows = Delivery.objects.using(self._alias).filter(subscription=subscription)
        for state in (READY, CLAIMED, DELAYED):
            waited += rows.filter(state=state).delete()[0]
        waited += rows.filter(state__lt=4, message_group__isnull=False).delete()[0]
        found.delete()
        for queue_id in queue_ids:
            self.drop_if_idle(queue_id)
        self._statements.forget_layout()
        return waited

    def drop_if_idle(self, queue_id: int) -> None:
        """Remove a queue that nothing is left of."""
        queue = Queue.objects.using(self._alias).filter(id=queue_id, is_paused=False)
        queue = queue.filter(subscriptions=None, idempotencykey=None)
        rows = Delivery.objects.using(self._alias).filter(queue=queue_id)
        for state in (UNCLAIMED, Delivery.State.DEAD):
            if rows.filter(state=state).exists():
                return
        queue.delete()

    def _unclaimed(self, name: QueueName) -> QuerySet[Delivery]:
        return Delivery.objects.using(self._alias).filter(
            queue__kind=name.kind.value, queue__name=name.name, state=UNCLAIMED
        )

    def distribute(self, connection: StoreConnection, name: QueueName) -> tuple[int, ...]:
        """Give what waited for a subscription to all that there are now."""
        statements = self._statements
        statements.change_layout(connection)
        if not self._unclaimed(name).exists():
            return ()
        queue = statements.queues(connection, (name,))[name]
        if not queue.subscriptions:
            return ()
        now = now_ms()
        waiting = self._unclaimed(name).order_by("id")
        while rows := list(waiting[:DISTRIBUTED_AT_ONCE]):
            statements.insert(
                connection,
                [
                    row_for(queue.id, subscription, _message(name, row), row.enqueued_at, now)
                    for row in rows
                    for subscription in queue.subscriptions
                ],
            )
            Delivery.objects.using(self._alias).filter(id__in=[row.id for row in rows]).delete()
        statements.forget_layout()
        return queue.receivers

    def set_paused(
        self, connection: StoreConnection, name: QueueName, is_paused: bool
    ) -> tuple[int, ...]:
        """Pause or resume a queue; return its subscriptions."""
        self._statements.change_layout(connection)
        queue = self._statements.queues(connection, (name,))[name]
        Queue.objects.using(self._alias).filter(id=queue.id).update(is_paused=is_paused)
        self.drop_if_idle(queue.id)
        self._statements.forget_layout()
        return queue.receivers


def _subscription(row: QueueSubscription) -> Subscription:
    kind = QueueKind(row.queue.kind)
    return Subscription(
        id=row.id,
        queue=QueueName(kind, row.queue.name),
        function_id=row.function_id,
        policy=read_policy(row.policy),
        is_attached=kind is QueueKind.NAMED,
        is_paused=row.queue.is_paused,
    )


def _message(name: QueueName, row: Delivery) -> NewMessage:
    return NewMessage(
        id=row.message_id,
        queue=name,
        data=row.data.encode(),
        function_id=row.function_id,
        context=row.context.encode(),
        group=row.message_group or "",
        run_at_ms=row.run_at,
        expires_at_ms=row.expires_at,
    )
