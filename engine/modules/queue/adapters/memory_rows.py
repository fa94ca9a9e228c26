"""What the memory store keeps: queues, their subscriptions, and deliveries on their way."""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

import msgspec

from engine.core.protocol import encode
from engine.modules.queue.adapters.base import (
    ERROR_LIMIT,
    HISTORY_LIMIT,
    DeadLetter,
    Delivery,
    Failed,
    NewMessage,
    Policy,
    QueueName,
    Subscription,
)


class State(enum.Enum):
    """Where a delivery is on its way."""

    READY = enum.auto()
    CLAIMED = enum.auto()
    DELAYED = enum.auto()
    BEHIND = enum.auto()
    GONE = enum.auto()


class Row:
    """A delivery of a subscription, dead letters included; what it is called as in the contract."""

    __slots__ = (
        "attempts",
        "data",
        "enqueued_at_ms",
        "error",
        "expires_at_ms",
        "failed_at_ms",
        "function_id",
        "group",
        "history",
        "id",
        "message",
        "run_at_ms",
        "state",
    )

    def __init__(self, row_id: int, message: NewMessage, function_id: str, at_ms: int) -> None:
        self.id = row_id
        self.message = message
        self.function_id = function_id
        self.data = message.data
        self.enqueued_at_ms = at_ms
        self.expires_at_ms = message.expires_at_ms
        self.run_at_ms = message.run_at_ms
        self.group = message.group
        self.state = State.READY
        self.attempts = 0
        self.error = ""
        self.history: tuple[dict[str, object], ...] = ()
        self.failed_at_ms = 0

    def is_over(self, now_ms: int) -> bool:
        """Tell whether the message has expired."""
        return self.expires_at_ms is not None and self.expires_at_ms <= now_ms

    def begin_anew(self, row_id: int, data: bytes | None) -> None:
        """Be as good as new, but for the history: a dead letter that is delivered once more."""
        self.id, self.attempts, self.run_at_ms = row_id, 0, 0
        self.error, self.failed_at_ms, self.expires_at_ms = "", 0, None
        if data is not None:
            self.data = data

    def as_message(self) -> NewMessage:
        """Return it as a message that waits for the first subscription of its topic."""
        return msgspec.structs.replace(
            self.message, data=self.data, run_at_ms=self.run_at_ms, expires_at_ms=None
        )

    def note_failure(self, failed: Failed) -> None:
        """Remember why an attempt failed."""
        self.error = failed.error[:ERROR_LIMIT].replace("\0", "\N{REPLACEMENT CHARACTER}")
        entry = {"attempt": failed.attempt, "at": failed.at_ms, "error": self.error}
        self.history = (*self.history, entry)[-HISTORY_LIMIT:]
        self.failed_at_ms = failed.at_ms

    def delivery(self) -> Delivery:
        """Return it as it is attempted next."""
        return Delivery(
            id=self.id,
            message_id=self.message.id,
            function_id=self.function_id,
            data=self.data,
            context=self.message.context,
            group=self.group,
            attempt=self.attempts,
            enqueued_at_ms=self.enqueued_at_ms,
            expires_at_ms=self.expires_at_ms,
        )

    def dead_letter(self) -> DeadLetter:
        """Return it as a dead letter."""
        return DeadLetter(
            id=self.id,
            message_id=self.message.id,
            queue=self.message.queue,
            function_id=self.function_id,
            data=self.data,
            error=self.error,
            history=encode(self.history) if self.history else b"",
            failed_at_ms=self.failed_at_ms,
            enqueued_at_ms=self.enqueued_at_ms,
            attempts=self.attempts,
        )


class KeptQueue:
    """A queue: what waits for its first subscription, and its dead letters."""

    def __init__(self, name: QueueName) -> None:
        self.name = name
        self.is_paused = False
        self.subscriptions: dict[str, KeptSubscription] = {}
        self.unclaimed: deque[tuple[NewMessage, int]] = deque()
        self.dead: dict[int, Row] = {}
        self.keys: dict[str, tuple[str, int]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left that it has to exist for."""
        return not (
            self.is_paused or self.subscriptions or self.unclaimed or self.dead or self.keys
        )


class KeptSubscription:
    """A subscription and its deliveries in the order of their ids.

    Due ones and delayed ones are heaps whose entries may be stale: a row's state says what it is.
    """

    def __init__(self, row_id: int, queue: KeptQueue, function_id: str, policy: Policy) -> None:
        self.id = row_id
        self.queue = queue
        self.function_id = function_id
        self.policy = policy
        self.detached_at_ms: int | None = None
        self.delivered = 0
        self.failed = 0
        self.rows: dict[int, Row] = {}
        self.claimed: dict[int, Row] = {}
        self._ready: list[int] = []
        self._delayed: list[tuple[int, int]] = []
        self._groups: dict[str, OrderedDict[int, Row]] = {}

    def view(self) -> Subscription:
        """Return it as the contract has it."""
        return Subscription(
            id=self.id,
            queue=self.queue.name,
            function_id=self.function_id,
            policy=self.policy,
            is_attached=self.detached_at_ms is None,
            is_paused=self.queue.is_paused,
            has_unclaimed=bool(self.queue.unclaimed),
        )

    @property
    def is_open(self) -> bool:
        """Whether anything of it may be claimed."""
        return self.detached_at_ms is None and not self.queue.is_paused

    # --- rows come and go -------------------------------------------------------------------------

    def add(self, row: Row, now_ms: int) -> None:
        """Let a row wait at the end of its subscription, or of its group."""
        row.run_at_ms = max(row.run_at_ms, row.enqueued_at_ms + self.policy.delay_ms)
        self.rows[row.id] = row
        if not self.policy.is_fifo:
            self._let_wait(row, now_ms)
            return
        group = self._groups.setdefault(row.group, OrderedDict())
        group[row.id] = row
        if len(group) == 1:
            self._let_wait(row, now_ms)
        else:
            row.state = State.BEHIND

    def remove(self, row: Row, now_ms: int) -> None:
        """Take a row out; the one behind it in its group is next."""
        row.state = State.GONE
        del self.rows[row.id]
        self.claimed.pop(row.id, None)
        group = self._groups.get(row.group)
        if group is None:
            return
        group.pop(row.id, None)
        if not group:
            del self._groups[row.group]
            return
        head = next(iter(group.values()))
        if head.state is State.BEHIND:
            self._let_wait(head, now_ms)

    def set_policy(self, policy: Policy, now_ms: int) -> None:
        """Deliver by this policy from now on; what waits is ordered anew if that has changed."""
        was_fifo, self.policy = self.policy.is_fifo, policy
        if was_fifo == policy.is_fifo:
            return
        self._groups = {}
        for row in self.rows.values():
            if policy.is_fifo:
                group = self._groups.setdefault(row.group, OrderedDict())
                group[row.id] = row
                if len(group) > 1 and row.state is not State.CLAIMED:
                    row.state = State.BEHIND
            elif row.state is State.BEHIND:
                self._let_wait(row, now_ms)

    def _let_wait(self, row: Row, now_ms: int) -> None:
        if row.run_at_ms > now_ms:
            row.state = State.DELAYED
            heapq.heappush(self._delayed, (row.run_at_ms, row.id))
        else:
            row.state = State.READY
            heapq.heappush(self._ready, row.id)

    # --- claims -----------------------------------------------------------------------------------

    def claim(self, limit: int, now_ms: int) -> list[Row]:
        """Claim due rows, the oldest first; expired ones go."""
        self._ripen(now_ms)
        claimed: list[Row] = []
        while self._ready and len(claimed) < limit:
            row = self.rows.get(heapq.heappop(self._ready))
            if row is None or row.state is not State.READY:
                continue
            if row.is_over(now_ms):
                self.remove(row, now_ms)
                continue
            row.state = State.CLAIMED
            row.attempts += 1
            self.claimed[row.id] = row
            claimed.append(row)
        return claimed

    def give_back(self, row: Row, now_ms: int) -> None:
        """Let a claimed row wait again as if it had not been claimed."""
        row.attempts -= 1
        self._wait_again(row, now_ms)

    def postpone(self, row: Row, run_at_ms: int, now_ms: int) -> None:
        """Let a claimed row wait for its next attempt."""
        row.run_at_ms = run_at_ms
        self._wait_again(row, now_ms)

    def _wait_again(self, row: Row, now_ms: int) -> None:
        del self.claimed[row.id]
        self._let_wait(row, now_ms)
        group = self._groups.get(row.group)
        if group is not None and next(iter(group)) != row.id:  # claimed before it was FIFO
            row.state = State.BEHIND

    def _ripen(self, now_ms: int) -> None:
        """Make due what was delayed until now."""
        delayed = self._delayed
        while delayed and delayed[0][0] <= now_ms:
            row = self.rows.get(heapq.heappop(delayed)[1])
            if row is not None and row.state is State.DELAYED and row.run_at_ms <= now_ms:
                row.state = State.READY
                heapq.heappush(self._ready, row.id)

    def has_due(self, now_ms: int) -> bool:
        """Tell whether anything could be claimed now."""
        if not self.is_open:
            return False
        self._ripen(now_ms)
        ready = self._ready
        while ready:
            row = self.rows.get(ready[0])
            if row is not None and row.state is State.READY:
                return True
            heapq.heappop(ready)
        return False

    def next_run_at_ms(self) -> int | None:
        """Return when the next delayed row is due."""
        delayed = self._delayed
        while self.is_open and delayed:
            run_at_ms, row_id = delayed[0]
            row = self.rows.get(row_id)
            if row is not None and row.state is State.DELAYED and row.run_at_ms == run_at_ms:
                return run_at_ms
            heapq.heappop(delayed)
        return None

    def expired(self, now_ms: int) -> Iterator[Row]:
        """Yield the rows that wait for nothing any more."""
        return (
            row
            for row in self.rows.values()
            if row.state is not State.CLAIMED and row.is_over(now_ms)
        )


def matching(error_contains: str | None) -> Callable[[Row], bool]:
    """Return whether a dead letter's error holds a text, whatever its case."""
    if error_contains is None:
        return lambda row: True
    wanted = error_contains.casefold()
    return lambda row: wanted in row.error.casefold()
