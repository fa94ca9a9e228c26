"""Who follows which group, what has happened there lately, and the numbers of the events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from kv.clock import now_ms
from streams.history import Event, History
from streams.protocol import envelope, group_members, json_or_null
from streams.subscription import Subscription

MAX_HISTORY_BYTES: Final = 64 * 1024 * 1024
"""What the histories of all groups may take; those that were quiet for longest go first."""


class Group:
    """A group that is followed, or has a history.

    Attributes:
        members: what its envelopes have in common.
        history: its latest events.
        followers: subscriptions of the whole group.
        item_followers: subscriptions of one item, by its id.
    """

    __slots__ = ("followers", "history", "item_followers", "members")

    def __init__(self, name: tuple[str, str], floor: int) -> None:
        self.members = group_members(*name)
        self.history = History(floor)
        self.followers: dict[Subscription, None] = {}
        self.item_followers: dict[str, dict[Subscription, None]] = {}

    @property
    def is_followed(self) -> bool:
        """Whether anybody listens."""
        return bool(self.followers or self.item_followers)


class Hub:
    """The groups of all streams.

    One counter numbers the envelopes of all groups: at least Unix milliseconds × 1000, so that
    no number comes again after a restart, however many groups were forgotten meanwhile.
    """

    def __init__(self) -> None:
        self._seq = now_ms() * 1_000
        self._groups: OrderedDict[tuple[str, str], Group] = OrderedDict()
        self._cost = 0
        self._floor = self._seq
        """Every event up to this `seq` is unknown, of groups that are not here."""

    # --- events -------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """Return the number of the next envelope."""
        return self.reserve(1)

    def reserve(self, count: int) -> int:
        """Return the first of the next numbers; they are given to nothing else."""
        first = max(self._seq + 1, now_ms() * 1_000)
        self._seq = first + count - 1
        return first

    def record(self, name: tuple[str, str], item_id: str | None, event: bytes) -> Event:
        """Number an event and keep it; `deliver` hands it to those who follow.

        Args:
            name: stream and group.
            item_id: what it is about; None for the whole group.
            event: JSON text.
        """
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, self._floor)
        else:
            self._groups.move_to_end(name)
        now = now_ms()
        seq = self._seq = max(self._seq + 1, now * 1_000)
        frame = envelope(now, group.members, json_or_null(item_id), event, seq)
        recorded = Event(seq, item_id, frame)
        self._cost += group.history.append(recorded)
        if self._cost > MAX_HISTORY_BYTES:
            self._forget_quiet_groups()
        return recorded

    def deliver(self, name: tuple[str, str], event: Event) -> None:
        """Give an event to everybody who follows its group or item."""
        group = self._groups.get(name)
        if group is None:
            return
        for subscription in group.followers:
            subscription.deliver(event)
        if event.item_id is not None and group.item_followers:
            for subscription in group.item_followers.get(event.item_id, ()):
                subscription.deliver(event)

    def since(self, name: tuple[str, str], seq: int, item_id: str | None) -> list[Event] | None:
        """Return the events after one, those of an item or all; None if some may be missing."""
        if seq > self._seq:  # never given out, or by an engine whose clock was ahead
            return None
        group = self._groups.get(name)
        if group is None:
            return [] if seq >= self._floor else None
        return group.history.since(seq, item_id)

    def _forget_quiet_groups(self) -> None:
        """Drop the histories that were quiet for longest."""
        for name in list(self._groups):
            group = self._groups[name]
            self._cost -= group.history.clear()
            if not group.is_followed:
                self._remove(name, group)
            if self._cost <= MAX_HISTORY_BYTES * 3 // 4:
                return

    # --- subscriptions ------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Let a subscription follow from now on; it may do so already."""
        name = subscription.group
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, self._floor)
        if subscription.item_id is None:
            group.followers[subscription] = None
        else:
            group.item_followers.setdefault(subscription.item_id, {})[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        """Let a subscription follow no more; it may not do so yet."""
        name = subscription.group
        group = self._groups.get(name)
        if group is None:
            return
        if subscription.item_id is None:
            group.followers.pop(subscription, None)
        else:
            followers = group.item_followers.get(subscription.item_id, {})
            followers.pop(subscription, None)
            if not followers:
                group.item_followers.pop(subscription.item_id, None)
        if not group.is_followed and not group.history:
            self._remove(name, group)

    def subscriptions(
        self, stream_name: str | None = None, group_id: str | None = None
    ) -> Iterator[Subscription]:
        """Yield the subscriptions of a stream and of a group, or of all."""
        for (stream, group_name), group in self._groups.items():
            if stream_name in {None, stream} and group_id in {None, group_name}:
                yield from group.followers
                for followers in group.item_followers.values():
                    yield from followers

    def _remove(self, name: tuple[str, str], group: Group) -> None:
        """Forget a group; who comes back to it must not miss what was dropped."""
        self._floor = max(self._floor, group.history.floor)
        del self._groups[name]
