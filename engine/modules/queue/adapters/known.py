"""Queues and subscriptions as the database's statements need them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from engine.modules.queue.adapters.base import Policy


class KnownSubscription(msgspec.Struct, frozen=True, gc=False):
    """A subscription that gets the messages of a queue."""

    id: int
    function_id: str
    policy: Policy


class KnownQueue:
    """A queue and who gets its messages.

    Attributes:
        id: of the row.
        is_paused: whether nothing of it is delivered.
        has_unclaimed: whether messages wait for its first subscription: new ones go behind them.
        subscriptions: in the order in which they were made.
        receivers: their ids.
    """

    __slots__ = ("has_unclaimed", "id", "is_paused", "receivers", "subscriptions")

    def __init__(self, queue_id: int, *, is_paused: bool, has_unclaimed: bool) -> None:
        self.id = queue_id
        self.is_paused = is_paused
        self.has_unclaimed = has_unclaimed
        self.subscriptions: tuple[KnownSubscription, ...] = ()
        self.receivers: tuple[int, ...] = ()

    def add(self, subscription: KnownSubscription) -> None:
        """Know one more subscription."""
        self.subscriptions += (subscription,)
        self.receivers += (subscription.id,)


class Standing(NamedTuple):
    """How a subscription stands when its turn comes.

    Attributes:
        is_elsewhere: another live engine holds it.
        next_run_at_ms: when its next delayed delivery is due; None if it has none.
    """

    is_fifo: bool
    is_paused: bool
    is_elsewhere: bool
    next_run_at_ms: int | None


@lru_cache(maxsize=4_096)
def read_policy(text: str) -> Policy:
    """Return the policy that a row holds as JSON text."""
    return msgspec.json.decode(text, type=Policy)


def write_policy(policy: Policy) -> str:
    """Return a policy as a row holds it."""
    return msgspec.json.encode(policy).decode()
