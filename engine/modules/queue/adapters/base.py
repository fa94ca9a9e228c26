"""The contract of a queue store: messages, who gets them, and what has become of them.

Words: a *queue* is a topic or a named queue. A *subscription* gets the messages of a queue: one
for each function of a topic, exactly one (with an empty function id) for a named queue. A
*delivery* is one message on its way to one subscription.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from engine.core.deferred import Deferred

T = TypeVar("T")

DEAD_RETENTION_MS: Final = 14 * 24 * 3_600_000
"""How long dead letters are kept."""

IDEMPOTENCY_MS: Final = 24 * 3_600_000
"""How long an idempotency key holds."""

UNCLAIMED_LIMIT: Final = 10_000
"""How many messages of one topic wait for its first subscription; the oldest go first."""

UNCLAIMED_RETENTION_MS: Final = 7 * 24 * 3_600_000
"""How long they wait."""

SWEEP_SIZE: Final = 1_000
"""How many rows of a kind a sweep takes away at once."""

HISTORY_LIMIT: Final = 20
"""How many failed attempts of a delivery are remembered: the last ones."""

ERROR_LIMIT: Final = 2_000
"""How many characters of an error are kept."""


class QueueKind(enum.StrEnum):
    """What a queue's name stands for."""

    TOPIC = "topic"
    NAMED = "named"

    # That of `Enum` is a function in Python, called several times for every message.
    __hash__ = str.__hash__


class QueueName(NamedTuple):
    """A queue: names of topics and of named queues do not meet."""

    kind: QueueKind
    name: str


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the messages of a subscription are delivered; stored as JSON text.

    Attributes:
        is_fifo: one message of a group at a time, in order; `concurrency` counts groups then.
        concurrency: deliveries at once, in the whole cluster.
        max_attempts: deliveries of one message, the first included.
        backoff_ms: before the second delivery.
        backoff_type: `exponential` doubles it with each further one, `fixed` does not.
        visibility_timeout_ms: how long an attempt may take before it counts as failed; 0: for ever.
        delay_ms: how long every message waits first.
        retention_ms: how long a subscription without a worker keeps receiving.
    """

    is_fifo: bool = False
    concurrency: int = 10
    max_attempts: int = 3
    backoff_ms: int = 1_000
    backoff_type: str = "exponential"
    visibility_timeout_ms: int = 0
    delay_ms: int = 0
    retention_ms: int = 7 * 24 * 3_600_000


class Subscription(msgspec.Struct, frozen=True):
    """A subscription as the store knows it.

    Attributes:
        id: of the row, never used again.
        function_id: empty for a named queue.
        is_attached: whether a live worker has it; always for a named queue.
        has_unclaimed: whether messages of its topic wait for a subscription: see `distribute`.
    """

    id: int
    queue: QueueName
    function_id: str
    policy: Policy
    is_attached: bool
    is_paused: bool
    has_unclaimed: bool = False


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message to be put into a queue.

    Attributes:
        id: UUID as text.
        function_id: who gets it, for a named queue; empty for a topic.
        data: JSON text as it was sent.
        context: JSON text, see `Delivery`; empty for none.
        group: its message group; empty: that of all messages without one.
        run_at_ms: not before this time (Unix milliseconds), 0 for at once.
        expires_at_ms: nobody gets it any more from then on; None for never.
        idempotency_key: a second message of this queue and key within 24 hours is not put in.
    """

    id: str
    queue: QueueName
    data: bytes
    function_id: str = ""
    context: bytes = b""
    group: str = ""
    run_at_ms: int = 0
    expires_at_ms: int | None = None
    idempotency_key: str = ""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What has become of a message that was put into a queue.

    Attributes:
        message_id: its id, or that of the first one of its idempotency key.
        is_duplicate: it is that first one's again; nothing was put in.
        subscriptions: the ids of those that get it and may have something to do now.
    """

    message_id: str
    is_duplicate: bool
    subscriptions: tuple[int, ...]


class Delivery(msgspec.Struct, gc=False):
    """A delivery that was claimed, to be attempted now.

    Attributes:
        id: of the row.
        attempt: which one it is, from 1 on; with `id` it says which claim an outcome belongs to.
        function_id: who gets it.
        context: `{"traceparent", "baggage", "metadata", "namespace", "sender_namespace"}`, each
            optional; JSON text, empty for none.
        group: its message group in a FIFO queue.
        expires_at_ms: it must not be attempted any more from then on.
    """

    id: int
    message_id: str
    function_id: str
    data: bytes
    context: bytes
    group: str
    attempt: int
    enqueued_at_ms: int
    expires_at_ms: int | None


class Done(msgspec.Struct, frozen=True, gc=False):
    """The attempt succeeded, or the message has expired: the delivery is over."""

    id: int
    attempt: int
    is_success: bool = True


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The attempt failed.

    Attributes:
        retry_at_ms: when the next one is due; None: it is a dead letter now.
    """

    id: int
    attempt: int
    error: str
    at_ms: int
    retry_at_ms: int | None


class Returned(msgspec.Struct, frozen=True, gc=False):
    """The delivery was claimed but not attempted: it waits again, in its place, not counted."""

    id: int
    attempt: int


Outcome = Done | Failed | Returned


class Turn(msgspec.Struct, frozen=True, gc=False):
    """What a turn of a subscription has brought.

    Attributes:
        claimed: deliveries to attempt now, oldest first.
        has_more: more are due than were claimed.
        next_run_at_ms: when the next delayed one is due; None if there is none.
        is_elsewhere: another live engine holds the subscription: nothing was claimed, it was told.
        lost: outcomes that came too late: somebody else has had the delivery since.
    """

    claimed: Sequence[Delivery]
    has_more: bool
    next_run_at_ms: int | None
    is_elsewhere: bool = False
    lost: int = 0


class Due(msgspec.Struct, frozen=True, gc=False):
    """What there is to do, as a sweep sees it.

    Attributes:
        subscriptions: those with something due that nobody has in flight.
        next_run_at_ms: when the next delayed delivery of any is due; None if there is none.
        has_outbox: whether `take_outbox` has something to do.
    """

    subscriptions: tuple[int, ...]
    next_run_at_ms: int | None
    has_outbox: bool = False


class QueueStats(msgspec.Struct, frozen=True):
    """Figures of a queue, over all its subscriptions; ages in milliseconds, None without any."""

    name: QueueName
    is_paused: bool
    waiting: int
    delayed: int
    in_flight: int
    dead: int
    oldest_age_ms: int | None
    delivered: int
    failed: int
    subscribers: int
    policy: Policy | None

    @property
    def depth(self) -> int:
        """Messages that are not finished: waiting, delayed, in flight."""
        return self.waiting + self.delayed + self.in_flight


class DeadLetter(msgspec.Struct, frozen=True):
    """A delivery that has failed for good."""

    id: int
    message_id: str
    queue: QueueName
    function_id: str
    data: bytes
    error: str
    history: bytes
    failed_at_ms: int
    enqueued_at_ms: int
    attempts: int


class Chosen(msgspec.Struct, frozen=True):
    """Which dead letters of a queue are meant; what is absent does not narrow.

    Attributes:
        ids: of the deliveries, or of their messages.
        error_contains: part of the error's text, whatever its case.
        limit: the oldest so many; None for all.
    """

    function_id: str | None = None
    ids: Sequence[str] | None = None
    error_contains: str | None = None
    limit: int | None = None


class QueueStore(ABC):
    """Keeps messages and subscriptions; every method is called on the event loop.

    What an implementation owes: an outcome is settled only when it is as durable as the store
    ever makes it. Messages of one engine and queue keep the order in which they were put in. A
    delivery is claimed by one engine at a time; if that one dies, it is due again. In a FIFO
    subscription a delivery is claimed only when every older one of its group is finished or dead.
    An outcome counts only for the claim that it belongs to (id and attempt): a late one changes
    nothing. Subscriptions are attached engine by engine: a store claims only for those that were
    attached through it, and for named queues. Failures are `kv.stores.executor.StoreError`.

    Attributes:
        place: where the messages are, for people.
        is_durable: whether they outlive the engine.
        is_shared: whether other engines, or other processes, may write too.
    """

    place: str
    is_durable: bool
    is_shared: bool = False

    # --- life -----------------------------------------------------------------------------------

    @abstractmethod
    async def start(self) -> Sequence[Subscription]:
        """Make due again what dead engines had in flight; return the known subscriptions."""

    # --- subscriptions --------------------------------------------------------------------------

    @abstractmethod
    def subscribe(
        self, queue: QueueName, function_id: str, policy: Policy
    ) -> Deferred[Subscription]:
        """Attach a subscription, made if there is none, with this policy from now on.

        Messages that wait for a first subscription stay where they are until `distribute`.
        """

    @abstractmethod
    def detach(self, subscription_id: int) -> Deferred[None]:
        """Note that no worker has it any more; it keeps receiving, nothing of it is due."""

    @abstractmethod
    def unsubscribe(self, subscription_id: int) -> Deferred[int]:
        """Remove it with all that waits for it, dead letters excepted; return how many waited."""

    @abstractmethod
    def distribute(self, queue: QueueName) -> Deferred[tuple[int, ...]]:
        """Give the messages that waited for a subscription to all that there are now, in order.

        Returns the subscriptions that got some. While messages wait so, new ones of their topic
        wait behind them.
        """

    # --- the way of a message ---------------------------------------------------------------------

    @abstractmethod
    def enqueue(self, message: NewMessage, finish: Callable[[Receipt], T]) -> Deferred[T]:
        """Put a message into a queue, once for each subscription; `finish` makes the result."""

    @abstractmethod
    def turn(self, subscription_id: int, outcomes: Sequence[Outcome], limit: int) -> Deferred[Turn]:
        """Store outcomes and claim at most `limit` due deliveries, in one transaction.

        Delayed deliveries that are due, and heads of groups whose former head is finished, are
        due in the same turn. Nothing is claimed of a paused or detached subscription. With
        nothing claimed and nothing in flight the subscription is held no longer.
        """

    @abstractmethod
    def due(self) -> Deferred[Due]:
        """Tell what is due; deliveries of engines that have died meanwhile are due again."""

    @abstractmethod
    def take_outbox(self) -> Deferred[tuple[int, ...]]:
        """Put what Django projects have written into their queues; return who got something."""

    @abstractmethod
    def sweep(self) -> Deferred[int]:
        """Delete what is over, at most SWEEP_SIZE rows of each kind; return how many went.

        That is: expired messages and keys, old dead letters and unclaimed messages, subscriptions
        detached for longer than their retention, with all that waits for them.
        """

    # --- for people -------------------------------------------------------------------------------

    @abstractmethod
    def queues(self) -> Deferred[Sequence[QueueStats]]:
        """Return every queue with its figures, by name."""

    @abstractmethod
    def stats(self, queue: QueueName) -> Deferred[QueueStats | None]:
        """Return the figures of one queue; None if it does not exist."""

    @abstractmethod
    def dead_letters(
        self, queue: QueueName, offset: int, limit: int
    ) -> Deferred[Sequence[DeadLetter]]:
        """Return dead letters, the oldest failure first."""

    @abstractmethod
    def set_paused(self, queue: QueueName, is_paused: bool) -> Deferred[tuple[int, ...]]:
        """Pause or resume a queue; return its subscriptions."""

    @abstractmethod
    def redrive(
        self, queue: QueueName, chosen: Chosen, data: bytes | None = None
    ) -> Deferred[tuple[int, tuple[int, ...]]]:
        """Let dead letters be delivered anew, at the end of their queue, attempts from 0.

        Args:
            queue: whose.
            chosen: which.
            data: replaces the payload, JSON text.

        Returns:
            How many, and the subscriptions that got them.
        """

    @abstractmethod
    def discard(self, queue: QueueName, chosen: Chosen) -> Deferred[int]:
        """Delete dead letters for good; return how many."""
