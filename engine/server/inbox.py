"""What has come in on a picows connection and who gets it: a receiver, or ASGI's receive."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engine.server.socket import NO_CLOSE_FRAME, Receiver

if TYPE_CHECKING:
    from engine.core.listeners import Message

logger = logging.getLogger(__name__)

HELD_MESSAGES: Final = 64
HELD_BYTES: Final = 1024 * 1024
"""What may wait for an application that does not receive, before reading pauses."""


class Inbox:
    """Messages in their order, straight to a receiver or held until somebody asks.

    Args:
        changed: called when `is_full` has changed.
        failed: called when a receiver has raised.

    Attributes:
        on_text: takes a text message, which has been checked to be UTF-8.
        on_binary: takes a binary message.
        is_full: whether so much is held that reading should pause.
        is_over: whether nothing comes any more.
        close_code: the code that ended the connection, or will.
        close_reason: what the peer, or we, said about it.
    """

    __slots__ = (
        "_changed",
        "_failed",
        "_held",
        "_held_bytes",
        "_is_ignoring",
        "_waiter",
        "close_code",
        "close_reason",
        "is_full",
        "is_over",
        "on_binary",
        "on_text",
    )

    def __init__(self, changed: Callable[[], None], failed: Callable[[], None]) -> None:
        self._changed = changed
        self._failed = failed
        self._held: deque[tuple[bool, bytes]] | None = None
        self._held_bytes = 0
        self._is_ignoring = False
        self._waiter: asyncio.Future[None] | None = None
        self.is_full = False
        self.is_over = False
        self.close_code = NO_CLOSE_FRAME
        self.close_reason = ""
        self.on_text: Callable[[bytes], None] = self._hold_text
        self.on_binary: Callable[[bytes], None] = self._hold_binary

    def deliver(self, is_text: bool, payload: bytes) -> None:
        """Hand a message over; a receiver that raises is logged and reported."""
        try:
            if is_text:
                self.on_text(payload)
            else:
                self.on_binary(payload)
        except Exception as error:
            self.receiver_failed(error)

    def receiver_failed(self, error: Exception) -> None:
        """Log what a receiver has raised and report it."""
        logger.error("a message could not be handled, the socket is closed", exc_info=error)
        self._failed()

    def ignore(self) -> None:
        """Drop whatever comes from now on."""
        self._is_ignoring = True
        self.on_text = self.on_binary = _drop

    def end(self) -> None:
        """Say that nothing comes any more; what is held is still handed over."""
        self.ignore()
        self.is_over = True
        self._wake()

    async def serve(self, receiver: Receiver) -> int:
        """Hand over what is held, then every message as it comes; return the close code."""
        try:
            while self._held:
                is_text, payload = self._take()
                try:
                    receiver.on_text(payload) if is_text else receiver.on_binary(payload)
                except Exception as error:
                    self.receiver_failed(error)
            if not self._is_ignoring:
                self.on_text = receiver.on_text
                self.on_binary = receiver.on_binary
            if not self.is_over:
                await self._wait()
        finally:
            self.ignore()
        return self.close_code

    async def receive(self) -> Message:
        """Return the next ASGI event."""
        while not self._held:
            if self.is_over:
                return {
                    "type": "websocket.disconnect",
                    "code": self.close_code,
                    "reason": self.close_reason,
                }
            await self._wait()
        is_text, payload = self._take()
        if is_text:
            return {"type": "websocket.receive", "text": payload.decode()}
        return {"type": "websocket.receive", "bytes": payload}

    async def _wait(self) -> None:
        """Wait for a held message or for the end."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> tuple[bool, bytes]:
        assert self._held
        is_text, payload = self._held.popleft()
        self._held_bytes -= len(payload)
        if self.is_full and not self._held:
            self.is_full = False
            self._changed()
        return is_text, payload

    def _hold_text(self, payload: bytes) -> None:
        self._hold(True, payload)

    def _hold_binary(self, payload: bytes) -> None:
        self._hold(False, payload)

    def _hold(self, is_text: bool, payload: bytes) -> None:
        if self._held is None:
            self._held = deque()
        self._held.append((is_text, payload))
        self._held_bytes += len(payload)
        if not self.is_full and (
            len(self._held) >= HELD_MESSAGES or self._held_bytes >= HELD_BYTES
        ):
            self.is_full = True
            self._changed()
        self._wake()


def _drop(payload: bytes) -> None:
    """Take a message that nobody waits for."""
