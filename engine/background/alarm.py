"""A thread that sleeps until its time comes, or until another thread has news for it."""

from __future__ import annotations

import contextlib
import select
import socket


class Alarm:
    """Wakes the one thread that sleeps on it.

    A ring while that thread is awake ends its next sleep at once: none is missed.
    """

    def __init__(self) -> None:
        self._sleeper, self._ringer = socket.socketpair()
        for each in (self._sleeper, self._ringer):
            each.setblocking(False)

    def ring(self) -> None:
        """End the sleep; from any thread, and of no effect once it is closed."""
        with contextlib.suppress(OSError):  # it is closed, or has been rung often enough
            self._ringer.send(b"\0")

    def sleep(self, timeout_s: float, other: int | None = None) -> None:
        """Sleep until it rings, the time is over, or there is something to read.

        Args:
            timeout_s: at most so long.
            other: a file descriptor that is read by the caller.
        """
        # `select` takes no descriptors above 1,023, and an engine has more.
        poll = select.poll()
        poll.register(self._sleeper, select.POLLIN)
        if other is not None:
            poll.register(other, select.POLLIN)
        poll.poll(max(0.0, timeout_s) * 1000)
        with contextlib.suppress(BlockingIOError):
            while self._sleeper.recv(4096):
                pass

    def close(self) -> None:
        """End it; nobody sleeps any more."""
        self._sleeper.close()
        self._ringer.close()
