"""Messages, and who gets them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from engine.fields import PositionField


class Queue(models.Model):
    """A topic, or a named queue of the config: what messages are put into, by name.

    A row appears with the first message or subscription and stays while it has either, or is
    paused.
    """

    class Kind(models.TextChoices):
        """The kinds of `engine.modules.queue.adapters.base.QueueKind`."""

        TOPIC = "topic", "topic"
        NAMED = "named", "named queue"

    kind = models.CharField(max_length=5, choices=Kind)
    name = models.TextField()
    is_paused = models.BooleanField(default=False, help_text="nothing of it is delivered")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "name"], name="queue_kind_name"),
        ]

    def __str__(self) -> str:
        return self.name


class QueueSubscription(models.Model):
    """Who gets the messages of a queue: a function on a topic, or a named queue's one consumer.

    It outlives the worker whose trigger made it: detached, it keeps receiving until its retention
    ends. Whoever delivers its messages holds it: one engine at a time, so that its concurrency
    counts in the whole cluster.
    """

    queue = models.ForeignKey(Queue, models.CASCADE, related_name="subscriptions")
    function_id = models.TextField(blank=True, help_text="empty for a named queue")
    policy = models.TextField(help_text="type, concurrency, retries: JSON text")
    detached_at = models.BigIntegerField(
        null=True, blank=True, help_text="Unix milliseconds; empty while a worker has it"
    )
    holder = models.UUIDField(null=True, blank=True, help_text="the engine that delivers it now")
    is_wanted = models.BooleanField(
        default=False, help_text="another engine was asked to deliver it; the holder looks again"
    )
    delivered = models.BigIntegerField(default=0, help_text="messages that succeeded")
    failed = models.BigIntegerField(default=0, help_text="attempts that failed")

    class Meta:
        verbose_name = "queue subscription"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["queue", "function_id"], name="queue_subscription"),
        ]

    def __str__(self) -> str:
        return f"{self.queue} → {self.function_id or 'its functions'}"


class Delivery(models.Model):
    """A message on its way to one function, or waiting for the first subscription of its topic.

    A message to several functions is several rows; a row is deleted when its function has
    succeeded. Rows are written by the store executor alone, which also deletes them before the
    queue or the subscription that they name; dead letters outlive their subscription.
    """

    class State(models.IntegerChoices):
        """Where it is on its way.

        In a FIFO subscription a new one waits like any other until it would be claimed; if an
        older one of its group is not finished then, it goes behind its group.
        """

        READY = 0, "waiting"
        CLAIMED = 1, "in flight"
        DELAYED = 2, "delayed"
        BEHIND = 3, "behind its group"
        DEAD = 4, "dead letter"
        UNCLAIMED = 5, "without subscription"

    id = PositionField(primary_key=True, help_text="order of delivery")
    queue = models.ForeignKey(Queue, models.DO_NOTHING, db_index=False, db_constraint=False)
    subscription = models.ForeignKey(
        QueueSubscription,
        models.DO_NOTHING,
        null=True,
        blank=True,
        db_index=False,
        db_constraint=False,
    )
    message_id = models.TextField(help_text="UUID, the same for every function that gets it")
    function_id = models.TextField(blank=True, help_text="who gets it; empty: nobody yet")
    data = models.TextField(help_text="JSON text as it was sent")
    context = models.TextField(
        blank=True, help_text="trace context, metadata, namespace: JSON text; empty for none"
    )
    # Null keeps the rows of other queues, nearly all, out of the index of groups. Only those that
    # are not finished are in it: dead letters stand in nobody's way.
    message_group = models.TextField(  # noqa: DJ001
        null=True, blank=True, help_text="in a FIFO queue: kept in order among themselves"
    )
    state = models.SmallIntegerField(choices=State)
    attempts = models.IntegerField(default=0, help_text="deliveries begun so far")
    run_at = models.BigIntegerField(default=0, help_text="Unix milliseconds before which it waits")
    enqueued_at = models.BigIntegerField(help_text="Unix milliseconds")
    expires_at = models.BigIntegerField(
        null=True, blank=True, help_text="Unix milliseconds after which nobody gets it"
    )
    error = models.TextField(blank=True, help_text="why the last attempt failed")
    history = models.TextField(
        blank=True, help_text="failed attempts: JSON list of {attempt, at, error}"
    )
    failed_at = models.BigIntegerField(null=True, blank=True, help_text="Unix milliseconds")

    class Meta:
        verbose_name = "message"
        verbose_name_plural = "messages"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["subscription", "id"],
                name="delivery_ready",
                condition=models.Q(state=0),
            ),
            models.Index(
                fields=["subscription", "id"],
                name="delivery_claimed",
                condition=models.Q(state=1),
            ),
            models.Index(
                fields=["subscription", "run_at"],
                name="delivery_delayed",
                condition=models.Q(state=2),
            ),
            models.Index(
                fields=["subscription", "message_group", "id"],
                name="delivery_grouped",
                condition=models.Q(message_group__isnull=False, state__lt=4),
            ),
            models.Index(
                fields=["queue", "failed_at", "id"],
                name="delivery_dead",
                condition=models.Q(state=4),
            ),
            models.Index(
                fields=["queue", "id"],
                name="delivery_unclaimed",
                condition=models.Q(state=5),
            ),
            models.Index(
                fields=["expires_at"],
                name="delivery_expires",
                condition=models.Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.message_id


class IdempotencyKey(models.Model):
    """The key of a message in a queue: a second message of it, within its time, is the same."""

    queue = models.ForeignKey(Queue, models.CASCADE, db_index=False)
    key = models.TextField()
    message_id = models.TextField()
    expires_at = models.BigIntegerField(db_index=True, help_text="Unix milliseconds")

    class Meta:
        verbose_name = "idempotency key"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["queue", "key"], name="idempotency_queue_key"),
        ]

    def __str__(self) -> str:
        return self.key


class OutboxMessage(models.Model):
    """A message of a Django project, written in its own transaction; the engine takes it over."""

    topic = models.TextField()
    data = models.TextField(help_text="JSON text")
    options = models.TextField(blank=True, help_text="JSON text, as of `enqueue`; empty for none")

    class Meta:
        verbose_name = "outbox message"

    def __str__(self) -> str:
        return self.topic
