"""Changes of subscriptions as those share commits that come at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeAlias

from engine.core.deferred import Deferred
from engine.modules.queue.adapters.layout import Layout, Subscribe
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor
from kv.stores.gathered import GatheredChanges


class Detach(NamedTuple):
    """A subscription that no worker has any more."""

    subscription: int


class Unsubscribe(NamedTuple):
    """A subscription that is to be removed."""

    subscription: int


Change: TypeAlias = Subscribe | Detach | Unsubscribe


class LayoutChanges:
    """Makes changes, those together that come at once.

    Args:
        writer: what runs them.
        layout: what they change.
    """

    def __init__(self, writer: Executor, layout: Layout) -> None:
        self._layout = layout
        self._gathered: GatheredChanges[Change] = GatheredChanges(writer, self._make)

    def add(self, change: Change) -> Deferred[Any]:
        """Make a change; its outcome is what the method of `Layout` returns for it."""
        return self._gathered.add(change)

    def _make(self, connection: StoreConnection, changes: Sequence[Change]) -> list[Any]:
        """Make changes in their order, those of a kind that follow each other together."""
        made: list[Any] = []
        for kind, same in groupby(changes, type):
            made += _MAKERS[kind](self._layout, connection, list(same))
        return made


def _subscribe(
    layout: Layout, connection: StoreConnection, changes: list[Subscribe]
) -> Sequence[Any]:
    return layout.subscribe(connection, changes)


def _detach(layout: Layout, connection: StoreConnection, changes: list[Detach]) -> Sequence[Any]:
    layout.detach([each.subscription for each in changes])
    return [None] * len(changes)


def _unsubscribe(
    layout: Layout, connection: StoreConnection, changes: list[Unsubscribe]
) -> Sequence[Any]:
    return [layout.unsubscribe(connection, each.subscription) for each in changes]


_MAKERS: Final[dict[type, Callable[[Layout, StoreConnection, list[Any]], Sequence[Any]]]] = {
    Subscribe: _subscribe,
    Detach: _detach,
    Unsubscribe: _unsubscribe,
}
