"""Clients of streams, as far as the load generator needs them: they join, count and compare."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from tests.bench.connection import Connection, Loop
from tests.bench.frames import message_frame

STREAM: Final = "bench"

_SYNC: Final = b'"type":"sync"'
_LAGGED: Final = b'"type":"lagged"'
_SEQ: Final = re.compile(rb'"seq":(\d+)')
_BUFFER_BYTES: Final = 4096


class Tally:
    """What all followers have seen together.

    Attributes:
        seen: events so far.
        lagged: how often one of them was told that it lost some.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.lagged = 0


class Follower:
    """A client that follows groups of a stream and counts their events.

    Args:
        groups: what it joins once it is connected.
        mark: what stands exactly once in each event.
        tally: where events are counted.
        buffer_bytes: initial size of the receive buffer.

    Attributes:
        synced: how many groups have answered.
        seen: events of its own.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        groups: Sequence[str],
        mark: bytes,
        tally: Tally,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        self.synced = 0
        self.seen = 0
        self._groups = groups
        self._mark = mark
        self._tally = tally
        self.connection = Connection(
            loop, port, self, on_open=self._join, buffer_bytes=buffer_bytes
        )

    @property
    def is_following(self) -> bool:
        """Whether every group has answered."""
        return self.synced >= len(self._groups)

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Count envelopes of one size."""
        if not self.is_following or _LAGGED in frames:
            self._on_others(frames)
        else:
            self._on_events(frames, frames.count(self._mark))

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Count a large envelope, such as what a group held at first."""
        self.receive_run(bytes(buffer[start:end]), end - start, 0)

    def _on_events(self, frames: bytes, count: int) -> None:
        self.seen += count
        self._tally.seen += count

    def _on_others(self, frames: bytes) -> None:
        self.synced += frames.count(_SYNC)
        self._tally.lagged += frames.count(_LAGGED)

    def _join(self) -> None:
        self.connection.send(
            [
                message_frame(
                    {
                        "type": "join",
                        "data": {"subscriptionId": group, "streamName": STREAM, "groupId": group},
                    }
                )
                for group in self._groups
            ]
        )


class TimingFollower(Follower):
    """A follower of one group that also takes the time of every event, and watches their order.

    Attributes:
        made_at: when each change was made that it has not seen, oldest first; seconds of
            `perf_counter`.
        latencies_s: from the making of a change to its arrival.
        disordered: events whose number was not above that of the one before.
    """

    def __init__(
        self, loop: Loop, port: int, groups: Sequence[str], mark: bytes, tally: Tally
    ) -> None:
        super().__init__(loop, port, groups, mark, tally)
        self.made_at: deque[float] = deque()
        self.latencies_s: list[float] = []
        self.disordered = 0
        self._last = 0

    def _on_events(self, frames: bytes, count: int) -> None:
        super()._on_events(frames, count)
        now = perf_counter()
        made = self.made_at
        self.latencies_s += [now - made.popleft() for _ in range(min(count, len(made)))]
        for number in map(int, _SEQ.findall(frames)):
            self.disordered += number <= self._last
            self._last = number
