"""Calls that are due at a second, and the worker that knows which have come, and how late."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Final

from tests.bench.connection import Loop
from tests.bench.frames import ID_LENGTH, find_invocation_id, find_value
from tests.bench.traffic import Message, Worker, send_frames

_FUNCTION: Final = b'"function_id":"'
_SCHEDULED: Final = b'"scheduled_time":"'


class TickBook:
    """Which function has been called for which second.

    Args:
        functions: how many there are, by number.

    Attributes:
        early: calls that came before their time; `unknown` those of no such function.
    """

    def __init__(self, functions: int) -> None:
        self.early = 0
        self.unknown = 0
        self._functions = functions
        # For each second: how often each function was called, and how late it was.
        self._calls: dict[int, bytearray] = {}
        self._lateness_s: dict[int, list[float]] = {}

    def take(self, number: int, second: int, now: float) -> None:
        """Note a call.

        Args:
            number: of the function.
            second: for which it was due, in Unix time; `now` is when it came.
        """
        if number >= self._functions:
            self.unknown += 1
            return
        calls = self._calls.setdefault(second, bytearray(self._functions))
        calls[number] = min(calls[number] + 1, 255)
        self.early += now < second
        self._lateness_s.setdefault(second, []).append(now - second)

    @property
    def latest(self) -> int:
        """The last second for which every function was called; 0 as long as there is none."""
        return max((second for second, calls in self._calls.items() if all(calls)), default=0)

    def missing(self, seconds: range) -> int:
        """Return how many calls have not come that were due in these seconds."""
        none = bytes(self._functions)
        return sum(self._calls.get(second, none).count(0) for second in seconds)

    def repeated(self) -> int:
        """Return how many calls have come again, whenever they were due."""
        return sum(
            sum(calls) - len(calls) + calls.count(0) for calls in self._calls.values() if max(calls)
        )

    def lateness_s(self, seconds: range) -> list[float]:
        """Return how late each call was that was due in these seconds, in ascending order."""
        return sorted(late for second in seconds for late in self._lateness_s.get(second, []))


class ClockedWorker(Worker):
    """A worker that answers every call of the clock at once, and keeps book of them.

    Args:
        functions: their places are their numbers in the book.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        functions: Sequence[str],
        triggers: Sequence[Message],
        book: TickBook,
    ) -> None:
        super().__init__(loop, port, functions, b"null", triggers=triggers)
        self._book = book
        self._numbers = {name.encode(): number for number, name in enumerate(functions)}
        self._seconds: dict[bytes, int] = {}

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Answer calls of one size."""
        now = time.time()
        for start in range(header, len(frames), size):
            self._take(frames, start, start + size - header, now)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Answer a call that is too large for a run."""
        self._take(buffer, start, end, time.time())

    def _take(self, buffer: bytes | bytearray, start: int, end: int, now: float) -> None:
        """Take one call; leave other frames alone."""
        id_at = find_invocation_id(buffer, start, end)
        name_at = find_value(buffer, _FUNCTION, start, end)
        time_at = find_value(buffer, _SCHEDULED, start, end)
        if min(id_at, name_at, time_at) < 0:
            return
        name = bytes(buffer[name_at : buffer.index(b'"', name_at)])
        text = bytes(buffer[time_at : buffer.index(b'"', time_at)])
        second = self._seconds.get(text)
        if second is None:
            second = self._seconds[text] = int(dt.datetime.fromisoformat(text.decode()).timestamp())
        self._book.take(self._numbers.get(name, len(self._numbers)), second, now)
        self.served += 1
        call_id = bytes(buffer[id_at : id_at + ID_LENGTH])
        send_frames(self.connection, [self._answer(name)], [call_id])
