"""The account of a caller: which calls wait for an answer, and how long each one took."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from tests.bench.frames import invocation_id


class Ledger:
    """Hands out invocation ids, each once, and takes them back with the answers.

    Attributes:
        answered: calls that were answered; `latencies_s` holds how long each one took.
        duplicated: answers to no waiting call, because it was answered before or never made.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.duplicated = 0
        self.latencies_s: list[float] = []
        self._pending: dict[bytes, float] = {}
        self._issued = 0
        self._limit = 0

    @property
    def pending(self) -> int:
        """How many calls wait for their answer."""
        return len(self._pending)

    @property
    def issued(self) -> int:
        """How many calls were begun."""
        return self._issued

    def open(self, calls: int | None = None) -> None:
        """Allow calls without an end, or so many more."""
        self._limit = 1 << 62 if calls is None else self._issued + calls

    def close(self) -> None:
        """Allow no more calls."""
        self._limit = self._issued

    def issue(self, count: int) -> list[bytes]:
        """Begin up to `count` calls, as many as are allowed, and return their ids."""
        first = self._issued
        self._issued = min(first + count, self._limit)
        call_ids = [invocation_id(number) for number in range(first, self._issued)]
        self._pending.update(dict.fromkeys(call_ids, perf_counter()))
        return call_ids

    def settle(self, call_ids: Sequence[bytes]) -> int:
        """Account for answers, and return how many calls they ended."""
        now = perf_counter()
        take = self._pending.pop
        started = [take(call_id, None) for call_id in call_ids]
        latencies = [now - begun for begun in started if begun is not None]
        self.latencies_s += latencies
        self.answered += len(latencies)
        self.duplicated += len(started) - len(latencies)
        return len(latencies)
