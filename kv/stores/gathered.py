"""Changes that come at once, as when a worker connects: one commit for many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor, StoreOverloaded, StoreUnavailable

Change = TypeVar("Change")

CHANGES_AT_ONCE: Final = 200
"""How many changes share a commit: what else is waiting comes in between."""


class _Batch(Generic[Change]):
    """Changes that share a commit, and who waits for each."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.waiting: list[Deferred[Any]] = []
        self.is_begun = False


class GatheredChanges(Generic[Change]):
    """Gathers changes until the database thread comes to them.

    A change may so overtake operations that were submitted before it, but none that is submitted
    after it overtakes the change.

    Args:
        writer: what runs them.
        make: makes changes in their order, in the database thread; returns the outcome of each.
            One that is an `EngineError` is what that change alone has failed with.
    """

    def __init__(
        self,
        writer: Executor,
        make: Callable[[StoreConnection, Sequence[Change]], Sequence[Any]],
    ) -> None:
        self._writer = writer
        self._make = make
        self._lock = threading.Lock()
        self._gathering: _Batch[Change] = _Batch()
        self._gathering.is_begun = True  # the first change begins one

    def add(self, change: Change) -> Deferred[Any]:
        """Make a change; its outcome is what `make` returns for it."""
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

    def _run(self, batch: _Batch[Change]) -> None:
        def work(connection: StoreConnection) -> Sequence[Any]:
            with self._lock:
                batch.is_begun = True
            return self._make(connection, batch.changes)

        self._writer.run(work).then(lambda made: self._settle(batch, made))

    def _settle(self, batch: _Batch[Change], made: Deferred[Sequence[Any]]) -> None:
        with self._lock:
            batch.is_begun = True  # also where it never came to that
        error = made.error
        if error is None:
            for waiting, outcome in zip(batch.waiting, made.value, strict=True):
                if isinstance(outcome, EngineError):
                    waiting.reject(outcome)
                else:
                    waiting.resolve(outcome)
        elif len(batch.changes) == 1 or isinstance(error, (StoreUnavailable, StoreOverloaded)):
            for waiting in batch.waiting:
                waiting.reject(error)
        else:  # one change that the database refuses must not take its neighbours along
            for change, waiting in zip(batch.changes, batch.waiting, strict=True):
                alone: _Batch[Change] = _Batch()
                alone.changes.append(change)
                alone.waiting.append(waiting)
                self._run(alone)
