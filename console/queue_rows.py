"""The rows of queues, to look at: who subscribes, what has died and why."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Final

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Left

from console.instants import instant
from console.queue_calls import policy_of
from engine.models import Delivery, Queue, QueueSubscription
from engine.modules.queue.adapters.base import Policy, QueueName

SAMPLE: Final = 1_000
"""The newest dead letters that are grouped by their error."""

GROUPS: Final = 20
"""Groups of them that are shown: the largest."""

ERROR_CHARACTERS: Final = 300
"""Of an error's first line, by which they are grouped."""

LINES: Final = 10
"""Lines of the history that are shown: the newest."""

# SQLite takes the index of a state only if the state stands in the statement.
IS_DEAD: Final = RawSQL(
    f"engine_delivery.state = {Delivery.State.DEAD:d}", (), output_field=BooleanField()
)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription of a queue.

    Attributes:
        function_id: empty for a named queue.
        detached_at: since when no worker has it; None while one has.
    """

    function_id: str
    policy: Policy
    detached_at: dt.datetime | None
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one function that have died of the same.

    Attributes:
        error: the first line of it.
        last_at: when the newest of them died.
    """

    function_id: str
    error: str
    count: int
    last_at: dt.datetime


@dataclass(frozen=True, slots=True)
class DeadGroups:
    """Dead letters by function and error, the largest groups first.

    Attributes:
        sampled: how many were looked at.
    """

    groups: list[DeadGroup]
    sampled: int

    @property
    def is_sample(self) -> bool:
        """Whether there may be more than were looked at."""
        return self.sampled == SAMPLE


def subscribers(queue: QueueName) -> list[Subscriber]:
    """Return who gets the messages of a queue, by function id."""
    rows = QueueSubscription.objects.filter(queue__kind=queue.kind, queue__name=queue.name)
    return [
        Subscriber(
            row.function_id,
            policy_of(row.policy),
            None if row.detached_at is None else instant(row.detached_at),
            row.delivered,
            row.failed,
        )
        for row in rows.order_by("function_id")
    ]


def dead_letters(queue: QueueName) -> QuerySet[Delivery]:
    """Return the dead letters of a queue, the newest first."""
    row = Queue.objects.filter(kind=queue.kind, name=queue.name).first()
    if row is None:
        return Delivery.objects.none()
    return Delivery.objects.filter(IS_DEAD, queue=row).order_by("-failed_at", "-id")


def dead_groups(queue: QueueName) -> DeadGroups:
    """Group the newest dead letters of a queue by what they have died of."""
    rows = dead_letters(queue).annotate(beginning=Left("error", ERROR_CHARACTERS))
    newest = list(rows.values_list("function_id", "beginning", "failed_at")[:SAMPLE])
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], int] = {}
    for function_id, beginning, failed_at in newest:
        group = function_id, first_line(beginning)
        counts[group] += 1
        last.setdefault(group, failed_at or 0)
    groups = [
        DeadGroup(*group, count, instant(last[group]))
        for group, count in counts.most_common(GROUPS)
    ]
    return DeadGroups(groups, len(newest))


def history(queue: QueueName) -> list[LogEntry]:
    """Return what people have lately done to a queue, the newest first."""
    lines = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Queue), object_id=history_id(queue)
    )
    return list(lines.select_related("user").order_by("-pk")[:LINES])


def history_id(queue: QueueName) -> str:
    """Name a queue in the history, whether it has a row or not."""
    return f"{queue.kind}:{queue.name}"


def first_line(text: str) -> str:
    """Return the first line of a text."""
    return text.split("\n", 1)[0].rstrip()
