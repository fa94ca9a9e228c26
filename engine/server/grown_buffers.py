"""Giving back read buffers that large messages and bursts made grow; picows only doubles them."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

GROWN_FROM: Final = 16 * 1024
"""A message or a read of this size may have made its connection's buffer grow past 32 KiB."""

QUIET_S: Final = 1.0
"""A buffer is given back between one and two of these after it was last needed."""


class HasReadBuffer(Protocol):
    """A connection whose buffer can be replaced."""

    def give_back_buffer(self) -> bool:
        """Replace a grown buffer by a small one; False if that cannot be done just now."""


class GrownBuffers:
    """The connections of a server that got much at once lately."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._recent: set[HasReadBuffer] = set()
        self._quiet: set[HasReadBuffer] = set()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, connection: HasReadBuffer) -> None:
        """Remember that the buffer may have grown, and is in use."""
        self._recent.add(connection)
        self._quiet.discard(connection)
        if self._timer is None:
            self._schedule()

    def stop(self) -> None:
        """Forget all connections."""
        self._recent.clear()
        self._quiet.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._quiet_s, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        waiting = {connection for connection in self._quiet if not connection.give_back_buffer()}
        self._quiet = waiting | self._recent
        self._recent = set()
        if self._quiet:
            self._schedule()
