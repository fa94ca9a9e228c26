"""Changes of subscriptions that come at once, as when a worker connects: one commit for many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeAlias

from engine.core.deferred import Deferred
from engine.modules.queue.adapters.layout import Layout, Subscribe
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor, StoreOverloaded, StoreUnavailable

CHANGES_AT_ONCE: Final = 200
"""How many changes share a commit: what else is waiting comes in between."""


class Detach(NamedTuple):
    """A subscription that no worker has any more."""

    subscription: int


class Unsubscribe(NamedTuple):
    """A subscription that is to be removed."""

    subscription: int


Change: TypeAlias = Subscribe | Detach | Unsubscribe


class _Batch:
    """Changes that share a commit, and who waits for each."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.waiting: list[Deferred[Any]] = []
        self.is_begun = False


class LayoutChanges:
    """Gathers changes until the database thread comes to them.

    A change may so overtake operations that were submitted before it, but none that is submitted
    after it overtakes the change.

    Args:
        writer: what runs them.
        layout: what they change.
    """

    def __init__(self, writer: Executor, layout: Layout) -> None:
        self._writer = writer
        self._layout = layout
        self._lock = threading.Lock()
        self._gathering = _Batch()
        self._gathering.is_begun = True  # the first change begins one

    def add(self, change: Change) -> Deferred[Any]:
        """Make a change; its outcome is what the method of `Layout` returns for it."""
        waiting: Deferred[Any] = Deferred()
        with self._lock:
            batch = self._gathering
            is_new = batch.is_begun or len(batch.changes) >= CHANGES_AT_ONCE
            if is_new:
                batch = self._gathering = _Batch()
            batch.changes.append(change)
            batch.waiting.append(waiting)
        if is_new:
            self._run(batch)
        return waiting

    def _run(self, batch: _Batch) -> None:
        def work(connection: StoreConnection) -> list[Any]:
            with self._lock:
                batch.is_begun = True
            return self._make(connection, batch.changes)

        self._writer.run(work).then(lambda made: self._settle(batch, made))

    def _settle(self, batch: _Batch, made: Deferred[list[Any]]) -> None:
        with self._lock:
            batch.is_begun = True  # also where it never came to that
        error = made.error
        if error is None:
            for waiting, outcome in zip(batch.waiting, made.value, strict=True):
                waiting.resolve(outcome)
        elif len(batch.changes) == 1 or isinstance(error, (StoreUnavailable, StoreOverloaded)):
            for waiting in batch.waiting:
                waiting.reject(error)
        else:  # one change that the database refuses must not take its neighbours along
            for change, waiting in zip(batch.changes, batch.waiting, strict=True):
                alone = _Batch()
                alone.changes.append(change)
                alone.waiting.append(waiting)
                self._run(alone)

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
