"""How much may wait for a slow peer, and what happens when it is too much, for every socket.

The answer to a full queue is never to wait: an invocation is refused, a result is kept up to
twice the limit, and a peer that takes nothing for a minute is cut.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engine.core.outgoing import Outgoing

PEER_TOO_SLOW: Final = 1011
TOO_SLOW_REASON: Final = "the peer does not read what it is sent"


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much one socket may hold back for its peer.

    Attributes:
        messages: queued messages that make the queue full.
        size: queued bytes that make the queue full; one larger message alone is allowed.
        stall_s: seconds without any progress after which the socket is closed with 1011.
        close_reply_s: seconds for the peer to read what is queued and answer a close frame.
    """

    messages: int = 4096
    size: int = 16 * 1024 * 1024
    stall_s: float = 60.0
    close_reply_s: float = 3.0


DEFAULT_LIMITS: Final = OutboxLimits()

_CHECKS_PER_STALL: Final = 4


class Outbox(ABC):
    """The queue policy of a socket; a child stores the frames and moves them to the peer.

    A child keeps the two counters, calls `_watch` when frames have to wait, and pauses its
    own reading from `is_full` until `is_half_empty`.
    """

    __slots__ = (
        "_checks_without_progress",
        "_is_room_awaited",
        "_last_progress",
        "_on_room",
        "_stall_timer",
        "limits",
        "queued_bytes",
        "queued_messages",
    )

    def __init__(self, limits: OutboxLimits) -> None:
        self.limits = limits
        self.queued_messages = 0
        self.queued_bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._last_progress: object = None
        self._checks_without_progress = 0
        self._on_room: Callable[[], None] | None = None
        self._is_room_awaited = False

    def limit(self, limits: OutboxLimits, on_room: Callable[[], None]) -> None:
        """Take other limits, and tell when a full queue has room again."""
        self.limits = limits
        self._on_room = on_room

    @property
    def is_full(self) -> bool:
        """Whether an invocation would be refused and reading has to pause."""
        return self.queued_messages >= self.limits.messages or self.queued_bytes >= self.limits.size

    @property
    def is_half_empty(self) -> bool:
        """Whether paused reading may go on."""
        return (
            self.queued_messages * 2 <= self.limits.messages
            and self.queued_bytes * 2 <= self.limits.size
        )

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether something queued now still has a chance to arrive."""

    def offer(self, frame: Outgoing) -> bool:
        """Queue an invocation; False, and nothing queued, when there is no room."""
        if not self.is_open:
            return False
        if not self._has_room(len(frame)) and not self._has_room_after_flush(len(frame)):
            return False
        self._append(frame)
        return True

    def push(self, frame: Outgoing) -> None:
        """Queue a result or a control frame; give the peer up when even the reserve is used."""
        if not self.is_open:
            return
        size = len(frame)
        if not self._has_reserve(size):
            self.flush()
            if not self._has_reserve(size):
                self._give_up()
                return
        self._append(frame)

    def _has_room(self, size: int) -> bool:
        """Whether an invocation of `size` bytes fits."""
        if self.queued_messages == 0:
            return True
        return (
            self.queued_messages < self.limits.messages
            and self.queued_bytes + size <= self.limits.size
        )

    def _has_room_after_flush(self, size: int) -> bool:
        """Ask again once this tick's messages are out: a burst alone is not a slow peer."""
        self.flush()
        return self._has_room(size)

    def _has_reserve(self, size: int) -> bool:
        """Whether a result or control frame fits.

        It may use twice the limits, and be of any size while they are not used up once.
        """
        limits = self.limits
        return self.queued_messages < 2 * limits.messages and (
            self.queued_bytes <= limits.size or self.queued_bytes + size <= 2 * limits.size
        )

    def _expect_room(self) -> bool:
        """Return whether there is room; if not, it will be told when there is."""
        self._is_room_awaited = self.is_full
        return not self._is_room_awaited

    def _tell_room(self) -> None:
        """Tell whoever waits that half of a full queue is gone."""
        if self._is_room_awaited and self._on_room is not None:
            self._is_room_awaited = False
            self._on_room()

    def _watch(self) -> None:
        """See to it that the peer is given up if the queue does not move."""
        if self._stall_timer is None:
            self._last_progress = self._progress()
            self._checks_without_progress = 0
            self._schedule_check()

    def _schedule_check(self) -> None:
        self._stall_timer = asyncio.get_running_loop().call_later(
            self.limits.stall_s / _CHECKS_PER_STALL, self._check_progress
        )

    def _check_progress(self) -> None:
        self._stall_timer = None
        if self.queued_messages == 0:
            return
        progress = self._progress()
        if progress != self._last_progress:
            self._last_progress = progress
            self._checks_without_progress = 0
        else:
            self._checks_without_progress += 1
            if self._checks_without_progress >= _CHECKS_PER_STALL:
                self._give_up()
                return
        self._schedule_check()

    def _stop_watching(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    @abstractmethod
    def _progress(self) -> object:
        """Return a value that differs from the last one if the peer took anything."""

    @abstractmethod
    def _append(self, frame: Outgoing) -> None:
        """Queue a text frame that has been admitted."""

    @abstractmethod
    def flush(self) -> None:
        """Move out now what can go without waiting."""

    @abstractmethod
    def _give_up(self) -> None:
        """Drop the queue, close with 1011 and end the connection soon."""
