"""Lets a limited number of changes wait for the store, so that others come in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from engine.core.deferred import Deferred

T = TypeVar("T")


class Throttle:
    """Begins what it is given in its order, a limited number at a time.

    Args:
        most: how many may be under way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] = deque()
        self._under_way = 0
        self._is_scheduled = False

    def run(self, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Begin something, now or when its turn comes; return its outcome."""
        outcome: Deferred[T] = Deferred()
        self._waiting.append((begin, outcome))
        self._begin()
        return outcome

    def _begin(self) -> None:
        self._is_scheduled = False
        while self._waiting and self._under_way < self._most:
            begin, outcome = self._waiting.popleft()
            self._under_way += 1
            begin().then(lambda done, outcome=outcome: self._end(done, outcome))  # type: ignore[misc]

    def _end(self, done: Deferred[Any], outcome: Deferred[Any]) -> None:
        self._under_way -= 1
        # Not at once: many are answered in one turn of the loop, and their successors so share
        # a commit, too.
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._begin)
        if done.error is not None:
            outcome.reject(done.error)
        else:
            outcome.resolve(done.value)
