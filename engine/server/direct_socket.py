"""The socket that picows' frames go through without a task, a dict or a decode in between."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engine.core.gathering import GATHERING
from engine.core.outgoing import LargeFrame
from engine.server.frames import (
    BINARY,
    KEPT_APART,
    SHORT_TEXT_HEADERS,
    TEXT,
    Uncounted,
    check_close_code,
    close_frame,
    header,
    medium_header,
    pong_frame,
)
from engine.server.outbox import PEER_TOO_SLOW, TOO_SLOW_REASON, Outbox, OutboxLimits
from engine.server.socket import Receiver, Socket

if TYPE_CHECKING:
    from engine.core.outgoing import Outgoing
    from engine.server.picows_connection import Connection

logger = logging.getLogger(__name__)

WRITE_SIZE: Final = 256 * 1024
"""Bytes handed to the kernel at once: many frames, yet few enough to see progress by."""

FIRST_WRITE_SIZE: Final = 6 * 1024
"""Queued bytes that leave before the tick ends: the peer may begin while we go on reading."""

EARLY_WRITE_SIZE: Final = 24 * 1024
"""The same once the peer has something to do: a write costs as much as some calls."""

_PONGS_PER_WRITE: Final = 256
"""More pings than this within one tick are answered by the last pong alone (RFC 6455, 5.5.3)."""

_JOIN_FROM: Final = 16
"""From this many pieces on, one copy is cheaper than a list of buffers."""


class DirectSocket(Outbox, Socket):
    """The writing side of a picows connection: frames of one tick leave in one system call.

    More than FIRST_WRITE_SIZE of them leave in several, so that the peer can begin.

    Frames are written to the file descriptor itself, so that it is known at once how much
    the kernel took. What it did not take goes to the transport, and everything after it
    waits here until the transport is empty.
    """

    __slots__ = (
        "_connection",
        "_early_size",
        "_fd",
        "_is_blocked",
        "_is_scheduled",
        "_late_pong",
        "_loop",
        "_max_bytes",
        "_max_messages",
        "_pending",
        "_room",
        "_taken",
        "_transport",
        "_unwritten",
    )

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        limits: OutboxLimits,
    ) -> None:
        super().__init__(limits)
        self._connection = connection
        self._transport = transport
        self._loop = loop
        self._fd: int = transport.get_extra_info("socket").fileno()
        self._pending: list[bytes | memoryview] = []
        self._is_scheduled = False
        self._early_size = FIRST_WRITE_SIZE
        # Nothing may leave before the answer to the handshake: see handshake_done.
        self._is_blocked = True
        self._unwritten = (0, 0)
        self._taken = 0
        self._late_pong: bytes | None = None
        self._room: list[asyncio.Future[None]] = []
        # Negative once the socket is closed, so that the fast path needs no check of its own.
        self._max_messages = limits.messages
        self._max_bytes = limits.size

    @property
    def is_open(self) -> bool:
        """Whether something written now still has a chance to arrive."""
        return self._max_messages > 0

    async def accept(self, subprotocol: str | None = None) -> None:
        """Complete the handshake."""
        self._connection.accept(subprotocol)

    async def serve(self, receiver: Receiver) -> int:
        """Hand every message to `receiver` until the connection is over; return the close code."""
        return await self._connection.inbox.serve(receiver)

    def offer(self, frame: Outgoing) -> bool:
        """Queue an invocation; False, and nothing queued, when there is no room."""
        size = len(frame)
        messages = self.queued_messages
        if messages >= self._max_messages or self.queued_bytes + size > self._max_bytes:
            return self._offer_when_tight(frame)
        if type(frame) is not bytes or size >= KEPT_APART:
            self._queue_large(TEXT, frame)
            return True
        if size < 126:
            self._pending.append(SHORT_TEXT_HEADERS[size] + frame)
        else:
            self._pending.append(medium_header(TEXT, 126, size) + frame)
        self.queued_messages = messages + 1
        self.queued_bytes += size
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.flush)
        if self.queued_bytes >= self._early_size and not self._is_blocked:
            self._write_early()
        return True

    def push(self, frame: Outgoing) -> None:
        """Queue a result or a control frame; give the peer up when even the reserve is used."""
        if not self.offer(frame):
            super().push(frame)

    def _offer_when_tight(self, frame: Outgoing) -> bool:
        accepted = super().offer(frame)
        if not accepted and self.is_open:
            self._connection.pause_reading()
        return accepted

    def limit(self, limits: OutboxLimits, on_room: Callable[[], None]) -> None:
        """Take other limits, and tell when a full queue has room again."""
        super().limit(limits, on_room)
        if self.is_open:
            self._max_messages = limits.messages
            self._max_bytes = limits.size

    def write(self, is_text: bool, payload: bytes) -> bool:
        """Queue a message of either kind; return whether more may follow."""
        if not self.is_open:
            return True
        self._queue(TEXT if is_text else BINARY, payload)
        return self._expect_room()

    def pause(self) -> None:
        """Read nothing more; what is in the read buffer already is handed over."""
        self._connection.hold_up(True)

    def resume(self) -> None:
        """Read again."""
        self._connection.hold_up(False)

    async def send_message(self, first_byte: int, payload: bytes) -> None:
        """Queue a message of either kind, waiting for room; the way of ASGI's send.

        Raises:
            ConnectionResetError: the connection is over.
        """
        while self.is_open and self.is_full:
            self.flush()
            if self.is_full:
                waiter = self._loop.create_future()
                self._room.append(waiter)
                await waiter
        if not self.is_open:
            raise ConnectionResetError("the WebSocket is closed")
        self._queue(first_byte, payload)

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame."""
        check_close_code(code)
        if self.is_open:
            self._pending.append(close_frame(code, reason))
            self.stop_queueing()
            self._schedule()
            self._connection.wait_for_close_reply(code, reason)

    def pong(self, payload: bytes) -> None:
        """Answer a ping; of many unanswered ones only the last, so that pings cost no memory."""
        if not self.is_open:
            return
        if self._is_blocked or len(self._pending) > _PONGS_PER_WRITE:
            self._late_pong = pong_frame(payload)
        else:
            self._pending.append(pong_frame(payload))
        self._schedule()

    def queue_answer(self, answer: bytes) -> None:
        """Put the answer to the handshake before everything that is queued."""
        self._pending.insert(0, Uncounted(answer))

    def handshake_done(self) -> None:
        """Let go the answer to the handshake and what was queued behind it."""
        self._is_blocked = False
        if self._pending:
            self._schedule()

    def finish(self, last_frame: bytes) -> None:
        """Write what can still be written, then a close frame; nothing is queued any more."""
        self.stop_queueing()
        self.flush()
        self._drop_queue()
        if not self._transport.is_closing():
            self._transport.write(last_frame)

    def stop_queueing(self) -> None:
        """Refuse everything from now on and wake whoever waits for room."""
        self._max_messages = -1
        self._wake_writers()

    def release(self) -> None:
        """Forget everything; the connection is lost."""
        self.stop_queueing()
        self._stop_watching()
        self._drop_queue()

    def writable(self) -> None:
        """Go on after the transport has got rid of what the kernel did not take at first."""
        if self._is_blocked and self._transport.get_write_buffer_size() == 0:
            self._is_blocked = False
            unwritten, self._unwritten = self._unwritten, (0, 0)
            self._count_taken(*unwritten)
            self.flush()

    def _queue(self, first_byte: int, payload: Outgoing) -> None:
        size = len(payload)
        if size < KEPT_APART and isinstance(payload, bytes):
            self._pending.append(header(first_byte, size) + payload)
            self.queued_messages += 1
            self.queued_bytes += size
            self._schedule()
        else:
            self._queue_large(first_byte, payload)
        if self.is_full and self._is_blocked:
            self._connection.pause_reading()

    def _queue_large(self, first_byte: int, payload: Outgoing) -> None:
        """Queue a payload without copying it; do not let much pile up until the tick ends.

        Memory that is free again before the next large message is used again while it is
        still in the processor's cache; 4 MiB a tick cost twice the time.
        """
        size = len(payload)
        start = header(first_byte, size)
        if isinstance(payload, LargeFrame):
            self._pending += (Uncounted(start + payload.head), payload.payload, payload.tail)
        else:
            self._pending += (Uncounted(start), payload)
        self.queued_messages += 1
        self.queued_bytes += size
        if self.queued_bytes >= WRITE_SIZE and not self._is_blocked:
            self.flush()
        else:
            self._schedule()

    def _append(self, frame: Outgoing) -> None:
        self._queue(TEXT, frame)

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.flush)

    def _write_early(self) -> None:
        if self.queued_bytes >= EARLY_WRITE_SIZE or not GATHERING.is_on:
            self._early_size = EARLY_WRITE_SIZE
            self._write_pending()

    def flush(self) -> None:
        """End the tick: write what is pending, as far as the kernel takes it."""
        self._is_scheduled = False
        self._early_size = FIRST_WRITE_SIZE
        self._write_pending()

    def _write_pending(self) -> None:
        pending = self._pending
        if self._is_blocked or not (pending or self._late_pong):
            return
        if self._transport.is_closing():
            # The descriptor may belong to another connection by now.
            self._drop_queue()
            return
        if self._late_pong is not None:
            pending.append(self._late_pong)
            self._late_pong = None
        if self.queued_bytes > WRITE_SIZE:
            self._flush_in_parts()
            return
        data = b"".join(pending) if len(pending) > 1 else pending[0]
        pending.clear()
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._drop_queue()
            self._transport.abort()
            return
        if written == len(data):
            self.queued_messages = 0
            self.queued_bytes = 0
            if self._is_room_awaited:
                self._tell_room()
        else:
            self._hand_over([memoryview(data)[written:]], self.queued_messages, self.queued_bytes)

    def _flush_in_parts(self) -> None:
        """Write a long queue part by part, until it is empty or the kernel takes no more."""
        while self._pending and not self._is_blocked:
            buffers, messages, size = self._take_part()
            total = sum(map(len, buffers))
            try:
                written = os.writev(self._fd, buffers)
            except BlockingIOError:
                written = 0
            except OSError:
                self._drop_queue()
                self._transport.abort()
                return
            if written == total:
                self._count_taken(messages, size)
            else:
                self._hand_over(_without_start(buffers, written), messages, size)

    def _take_part(self) -> tuple[list[bytes | memoryview], int, int]:
        """Take the first frames, some WRITE_SIZE bytes, with their number and payload size."""
        pending = self._pending
        total = messages = end = 0
        for end, piece in enumerate(pending, 1):  # noqa: B007 - used behind the loop
            total += len(piece)
            if type(piece) is bytes:
                messages += 1
                if total >= WRITE_SIZE:
                    break
        buffers = pending[:end]
        del pending[:end]
        if not pending:
            messages, size = self.queued_messages, self.queued_bytes
        else:
            size = min(total, self.queued_bytes)
        return ([b"".join(buffers)] if len(buffers) >= _JOIN_FROM else buffers), messages, size

    def _hand_over(self, rest: list[memoryview], messages: int, size: int) -> None:
        """Give the transport what the kernel did not take, and wait until it is through."""
        self._is_blocked = True
        self._unwritten = (messages, size)
        for piece in rest:
            self._transport.write(piece)
        if self._transport.get_write_buffer_size() == 0:
            self._is_blocked = False
            self._unwritten = (0, 0)
            self._count_taken(messages, size)
            return
        self._watch()
        if self.is_full:
            self._connection.pause_reading()

    def _count_taken(self, messages: int, size: int) -> None:
        self.queued_messages -= messages
        self.queued_bytes -= size
        self._taken += 1
        if self.is_half_empty:
            self._connection.resume_reading()
            self._wake_writers()
            self._tell_room()

    def _drop_queue(self) -> None:
        self._pending.clear()
        self._late_pong = None
        self.queued_messages = self.queued_bytes = 0
        self._unwritten = (0, 0)

    def _wake_writers(self) -> None:
        waiters, self._room = self._room, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _progress(self) -> object:
        return self._taken, self._transport.get_write_buffer_size()

    def _give_up(self) -> None:
        logger.warning("a peer does not read, its socket is closed")
        self._drop_queue()
        self._connection.fail(PEER_TOO_SLOW, TOO_SLOW_REASON)


def _without_start(buffers: list[bytes | memoryview], count: int) -> list[memoryview]:
    """Return what is left of the buffers behind their first `count` bytes."""
    rest: list[memoryview] = []
    for piece in buffers:
        if count >= len(piece):
            count -= len(piece)
        else:
            rest.append(memoryview(piece)[count:])
            count = 0
    return rest
