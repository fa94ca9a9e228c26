"""What one engine has in flight: how claims that it was never told of are found again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable


class InFlight:
    """The deliveries that the turns of an engine have claimed and not settled; on the event loop.

    Where a commit is on its way when the database goes away, nobody knows whether it happened. If
    it did, deliveries are claimed that nobody has: the next turn of their subscription, which is
    told what is known, lets all others wait again.
    """

    def __init__(self) -> None:
        self._claimed: dict[int, set[int]] = {}
        self._turns: Counter[int] = Counter()
        self._doubtful: set[int] = set()

    @property
    def doubtful(self) -> Collection[int]:
        """The subscriptions of which something may be claimed that nobody has."""
        return self._doubtful

    def begin(self, subscription: int) -> Collection[int] | None:
        """Note that a turn is on its way.

        Returns:
            The deliveries that are known to be in flight, if there is doubt about others.
        """
        is_alone = not self._turns[subscription]
        self._turns[subscription] += 1
        if subscription in self._doubtful and is_alone:
            return tuple(self._claimed.get(subscription, ()))
        return None

    def end(
        self,
        subscription: int,
        settled: Iterable[int],
        claimed: Iterable[int],
        *,
        is_certain: bool,
    ) -> None:
        """Note what a turn has brought.

        Args:
            subscription: whose turn it was.
            settled: deliveries that it had outcomes of.
            claimed: deliveries that it has claimed.
            is_certain: it was told what is known, so that nothing else is claimed now.
        """
        self._end(subscription)
        if is_certain:
            self._doubtful.discard(subscription)
        known = self._claimed.get(subscription)
        if known is None:
            known = self._claimed[subscription] = set()
        known.difference_update(settled)
        known.update(claimed)
        if not known:
            del self._claimed[subscription]

    def fail(self, subscription: int) -> None:
        """Note that a turn has failed, or seems to have."""
        self._end(subscription)
        self._doubtful.add(subscription)

    def _end(self, subscription: int) -> None:
        self._turns[subscription] -= 1
        if not self._turns[subscription]:
            del self._turns[subscription]
