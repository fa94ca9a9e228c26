"""What a consumer uses instead of receive and send: the same on all three servers."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from mypy_extensions import trait

from engine.server.frames import check_close_code, clip_reason
from engine.server.outbox import (
    DEFAULT_LIMITS,
    PEER_TOO_SLOW,
    TOO_SLOW_REASON,
    Outbox,
    OutboxLimits,
)

if TYPE_CHECKING:
    from engine.core.listeners import Message, Receive, Scope, Send
    from engine.core.outgoing import Outgoing

logger = logging.getLogger(__name__)

SOCKET_EXTENSION: Final = "iii.socket"
"""Key in `scope["extensions"]` under which a server offers its own `Socket`."""

ABORT_EXTENSION: Final = "iii.abort"
"""Key in `scope["extensions"]` under which a server offers a function that drops the connection."""

INTERNAL_ERROR: Final = 1011
NO_CODE_IN_CLOSE_FRAME: Final = 1005
NO_CLOSE_FRAME: Final = 1006


class Receiver(Protocol):
    """Whoever handles the messages of one socket; both methods must return quickly."""

    def on_text(self, payload: bytes) -> None:
        """Handle a whole text message; the server has checked that it is UTF-8."""

    def on_binary(self, payload: bytes) -> None:
        """Handle a whole binary message."""


@trait
class Socket(ABC):
    """One WebSocket as the engine sees it: frames go out without waiting, up to a limit.

    Attributes:
        queued_messages: messages that the peer's side has not taken yet.
        queued_bytes: their size.
    """

    __slots__ = ()

    queued_messages: int
    queued_bytes: int

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether something written now still has a chance to arrive."""

    @abstractmethod
    def offer(self, frame: Outgoing) -> bool:
        """Queue one text frame, an invocation; False when the queue is full or closed.

        A refused frame leaves nothing behind. Frames of one loop tick leave together.
        """

    @abstractmethod
    def push(self, frame: Outgoing) -> None:
        """Queue one text frame that must not be refused: a result, a control message.

        It may use twice the limit; beyond that the socket is closed with 1011. On a socket
        that is closed already it does nothing.
        """

    @abstractmethod
    def limit(self, limits: OutboxLimits, on_room: Callable[[], None]) -> None:
        """Take other limits for this socket, and be told of room in its queue.

        Args:
            limits: from now on.
            on_room: called when half of the queue is gone, after `write` has returned False.
        """

    @abstractmethod
    def write(self, is_text: bool, payload: bytes) -> bool:
        """Queue a message of either kind, whatever is queued already.

        Returns:
            Whether more may follow at once; if not, `on_room` is called. On a socket that is
            closed nothing happens and more may follow.
        """

    @abstractmethod
    def pause(self) -> None:
        """Read nothing more of the peer's; what was read already is still handed over."""

    @abstractmethod
    def resume(self) -> None:
        """Read again after `pause`."""

    @abstractmethod
    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame; a second call does nothing.

        Args:
            code: 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999.
            reason: at most 123 bytes of UTF-8 are sent of it.

        Raises:
            ValueError: the code must not be sent.
        """

    @abstractmethod
    async def accept(self, subprotocol: str | None = None) -> None:
        """Complete the handshake; call it once, before `serve`."""

    @abstractmethod
    async def serve(self, receiver: Receiver) -> int:
        """Hand every message to `receiver`, in order, until the connection is over.

        Messages that came before the call are handed over first. An exception of the
        receiver is logged and closes the socket with 1011.

        Returns:
            The code of the close frame that ended the connection, the peer's or ours;
            1005 if it carried none, 1006 if there was no close frame.
        """


class AsgiSocket(Outbox, Socket):
    """A socket over any server's receive and send, with a writer of its own.

    It does not receive while its outbound queue is full; the server then stops reading.

    Args:
        receive: the connection's ASGI receive.
        send: the connection's ASGI send.
        limits: how much may be queued.
        abort: drops the connection at once; without it a stalled peer is told 1011, and its
            connection ends when its server notices.
    """

    __slots__ = (
        "_abort",
        "_close_with",
        "_frames",
        "_is_connected",
        "_is_held_up",
        "_may_read",
        "_receive",
        "_send",
        "_taken",
        "_work",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        limits: OutboxLimits = DEFAULT_LIMITS,
        abort: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(limits)
        self._receive = receive
        self._send = send
        self._abort = abort
        self._frames: deque[tuple[bool, Outgoing]] = deque()
        self._taken = 0
        self._work = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._close_with: tuple[int, str] | None = None
        self._is_connected = True
        self._is_held_up = False

    @property
    def is_open(self) -> bool:
        """Whether something queued now still has a chance to arrive."""
        return self._is_connected and self._close_with is None

    async def accept(self, subprotocol: str | None = None) -> None:
        """Complete the handshake."""
        message = await self._receive()
        if message["type"] == "websocket.connect":
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
        else:
            self._is_connected = False

    def write(self, is_text: bool, payload: bytes) -> bool:
        """Queue a message of either kind; return whether more may follow."""
        if not self.is_open:
            return True
        self._queue(is_text, payload)
        return self._expect_room()

    def pause(self) -> None:
        """Receive nothing more; one message may be on its way already."""
        self._is_held_up = True
        self._read_or_wait()

    def resume(self) -> None:
        """Receive again."""
        self._is_held_up = False
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        if self._close_with is None and (self._is_held_up or self.is_full):
            self._may_read.clear()
        else:
            self._may_read.set()

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame."""
        check_close_code(code)
        if self.is_open:
            self._close_with = (code, clip_reason(reason))
            self._work.set()
            self._may_read.set()

    async def serve(self, receiver: Receiver) -> int:
        """Receive until the server says that the connection is over; return the close code."""
        if not self._is_connected:
            return NO_CLOSE_FRAME
        writer = asyncio.create_task(self._write())
        try:
            return await self._read(receiver)
        finally:
            self._is_connected = False
            self._stop_watching()
            self._frames.clear()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _read(self, receiver: Receiver) -> int:
        """Hand messages over until the server says that the connection is over."""
        while True:
            await self._may_read.wait()
            message = await self._receive()
            if message["type"] == "websocket.receive":
                if self.is_open:
                    self._deliver(receiver, message)
            elif self._close_with is not None:
                return self._close_with[0]
            else:
                return int(message.get("code") or NO_CODE_IN_CLOSE_FRAME)

    def _deliver(self, receiver: Receiver, message: Message) -> None:
        text = message.get("text")
        try:
            if text is not None:
                receiver.on_text(text.encode())
            else:
                receiver.on_binary(message["bytes"])
        except Exception:
            logger.exception("a message could not be handled, the socket is closed")
            self.close(INTERNAL_ERROR)

    async def _write(self) -> None:
        """Send what is queued, one message after the other, and the close frame at the end."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                await self._write_queued()
                if self._close_with is not None:
                    code, reason = self._close_with
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
                    return
        except OSError:
            # The connection is lost; the reader hears of it from the server.
            self._is_connected = False
            self._may_read.set()

    async def _write_queued(self) -> None:
        while self._frames:
            is_text, frame = self._frames[0]
            if is_text:
                await self._send({"type": "websocket.send", "text": frame.decode()})
            else:
                await self._send({"type": "websocket.send", "bytes": bytes(frame)})
            self._taken += 1
            if self._frames:
                self._frames.popleft()
                self.queued_messages -= 1
                self.queued_bytes -= len(frame)
            if self.is_half_empty:
                if not self._may_read.is_set():
                    self._read_or_wait()
                self._tell_room()

    def _progress(self) -> object:
        return self._taken

    def _append(self, frame: Outgoing) -> None:
        self._queue(True, frame)

    def _queue(self, is_text: bool, frame: Outgoing) -> None:
        self._frames.append((is_text, frame))
        self.queued_messages += 1
        self.queued_bytes += len(frame)
        self._work.set()
        self._watch()
        if self.is_full:
            self._may_read.clear()

    def flush(self) -> None:
        """Do nothing: only the writer can send, and it may have to wait."""

    def _give_up(self) -> None:
        logger.warning("a peer does not read, its socket is closed")
        self._frames.clear()
        self.queued_messages = self.queued_bytes = 0
        self.close(PEER_TOO_SLOW, TOO_SLOW_REASON)
        if self._abort is not None:
            self._abort()


def open_socket(scope: Scope, receive: Receive, send: Send) -> Socket:
    """Return the server's own socket where it offers one, else one over receive and send."""
    extensions = scope.get("extensions") or {}
    offered = extensions.get(SOCKET_EXTENSION)
    if isinstance(offered, Socket):
        return offered
    return AsgiSocket(receive, send, abort=extensions.get(ABORT_EXTENSION))
