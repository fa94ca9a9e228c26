"""The broker of an engine without one: queues in memory, and consumers that are woken.

Kombu's own memory transport polls: at 5 ms it takes 3 % of a core while nothing happens, at 20 ms
a task waits 10 ms for its turn. Here whoever puts a message wakes those who wait.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, Queue
from typing import Any, Final

from kombu.transport import memory
from kombu.utils.scheduling import FairCycle


class Bell:
    """Wakes the threads that wait for messages.

    A ring is counted: whoever looked for messages before it and waits after it does not miss it.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.rings = 0
        self.interruptions = 0

    def ring(self) -> None:
        """Say that there may be something to consume."""
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def interrupt(self) -> None:
        """Make everybody who waits give up now, as if the time were over."""
        with self._condition:
            self.interruptions += 1
            self._condition.notify_all()

    def wait(self, rings: int, interruptions: int, timeout_s: float | None) -> bool:
        """Wait until there were more than so many rings; False if the time or patience is over."""
        with self._condition:
            self._condition.wait_for(
                lambda: self.rings != rings or self.interruptions != interruptions, timeout_s
            )
            return self.rings != rings and self.interruptions == interruptions


BELL: Final = Bell()
"""One for the process, as the queues are."""


class Channel(memory.Channel):
    """A channel to the queues of the process; what makes a consumer's next look worth while rings.

    That is a message, and an acknowledgement: it may have been one too many in flight.
    """

    queues: dict[str, Queue[Any]] = {}  # noqa: RUF012 - shared by all channels, as in the base
    _lock = threading.Lock()

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._queue_for(queue)

    def _queue_for(self, queue: str) -> Queue[Any]:
        # Two threads may declare it at once: a message must not go to the one that is dropped.
        with self._lock:
            return self.queues.setdefault(queue, Queue())

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        super()._put(queue, message, **kwargs)
        BELL.ring()

    def _put_fanout(
        self, exchange: str, message: Any, routing_key: str | None = None, **kwargs: Any
    ) -> None:
        super()._put_fanout(exchange, message, routing_key, **kwargs)
        BELL.ring()

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message."""
        super().basic_ack(delivery_tag, multiple)
        BELL.ring()

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it."""
        super().basic_reject(delivery_tag, requeue)
        BELL.ring()


class Transport(memory.Transport):
    """Kombu's memory transport without its polling."""

    Channel = Channel

    @property
    def _next_channel(self) -> FairCycle:
        assert self.cycle is not None, "made by the constructor"
        return self.cycle

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver one message.

        Raises:
            TimeoutError: there was none in time, or `BELL.interrupt` was called.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        interruptions = BELL.interruptions
        while True:
            rings = BELL.rings
            try:
                self._next_channel.get(self._deliver)
            except Empty:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not BELL.wait(rings, interruptions, left):
                    raise TimeoutError from None
            else:
                return
