"""What still comes from the client of a request while its handler runs: the body, the leaving.

Nothing is read before somebody wants the body or streams the answer, so an ordinary request costs
none of this.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from engine.core.channels import COMPLETE, FRAME_SIZE, Channel

if TYPE_CHECKING:
    from engine.modules.api.request import Request

logger = logging.getLogger(__name__)

INTERNAL_ERROR: Final = 1011


class IntakeOwner(Protocol):
    """Whoever has to know how the intake goes on."""

    def body_moved(self) -> None:
        """A part of the body came in and was handed on."""

    def body_too_large(self, limit: int) -> None:
        """The body exceeds `limit` bytes; nothing more is read of it."""

    def client_left(self) -> None:
        """Nobody waits for the answer any more."""


class Intake:
    """The body of a request on its way into a channel, and the look-out for the client's leaving.

    It is the channel's `Source`. A body that is in memory is cut into frames; any other is read
    from the client as fast as the channel takes it, in one task.

    Args:
        request: whose body it is.
        body: all of it; None if it is still to come.
        limit: bytes of a body that is still to come; None for no limit.
        owner: is told.

    Attributes:
        is_starved: the client is waited for, not the reader.
    """

    def __init__(
        self, request: Request, body: bytes | None, limit: int | None, owner: IntakeOwner
    ) -> None:
        self._request = request
        self._body = body
        self._limit = limit
        self._owner = owner
        self._channel: Channel | None = None
        self._task: asyncio.Task[None] | None = None
        self._at = 0
        self._is_paused = False
        self._is_unwanted = False
        self._has_room: asyncio.Future[None] | None = None
        self.is_starved = False

    def open(self) -> Channel:
        """Return the channel of the body, which moves from now on."""
        if self._channel is None:
            self._channel = Channel()
            self._channel.connect_writer(self)
            if self._body is not None:
                self._feed()
            self._start()
        return self._channel

    def watch(self) -> None:
        """Tell the owner when the client leaves; a body that is still unread hides it."""
        if self._body is not None:
            self._start()

    def close(self) -> None:
        """Read no more: the request is over; what is in the channel still comes out of it."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._channel is not None and self._body is None:
            self._channel.end_writing(INTERNAL_ERROR, "the request ended before its body")

    # What the channel calls.

    def pause(self) -> None:
        """Wait for room."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False
        if self._body is not None:
            self._feed()
        elif self._has_room is not None and not self._has_room.done():
            self._has_room.set_result(None)

    def stop(self, code: int, reason: str) -> None:
        """Drop the rest: clients that write all before they read must not be left waiting."""
        self._is_unwanted = True
        self.resume()

    # The work.

    def _feed(self) -> None:
        body, channel = self._body, self._channel
        assert body is not None
        assert channel is not None
        while self._at < len(body) and not self._is_paused and not self._is_unwanted:
            channel.write(False, body[self._at : self._at + FRAME_SIZE])
            self._at += FRAME_SIZE
        if self._at >= len(body):
            channel.end_writing(COMPLETE)

    def _start(self) -> None:
        if self._task is None:
            if self._request.exchange is not None:
                self._request.exchange.begin_to_wait()
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            if await self._read_body():
                while (await self._request.receive())["type"] != "http.disconnect":
                    pass
                self._owner.client_left()
        except Exception:
            logger.exception("a request body could not be read")
            self._owner.client_left()

    async def _read_body(self) -> bool:
        """Move the body into the channel; False if the client left or sent too much."""
        if self._body is not None:
            return True
        assert self._channel is not None
        size = 0
        while True:
            self.is_starved = True
            message = await self._request.receive()
            self.is_starved = False
            if message["type"] == "http.disconnect":
                self._channel.end_writing(INTERNAL_ERROR, "the client left before its body ended")
                self._owner.client_left()
                return False
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if self._limit is not None and size > self._limit:
                self._channel.end_writing(INTERNAL_ERROR, "the request body is too large")
                self._owner.body_too_large(self._limit)
                return False
            await self._pass_on(chunk)
            if not message.get("more_body", False):
                self._body = b""
                self._channel.end_writing(COMPLETE)
                return True

    async def _pass_on(self, chunk: bytes) -> None:
        assert self._channel is not None
        if self._is_unwanted:
            return
        for start in range(0, len(chunk), FRAME_SIZE):
            self._channel.write(False, chunk[start : start + FRAME_SIZE])
        self._owner.body_moved()
        if self._is_paused:
            self._has_room = asyncio.get_running_loop().create_future()
            await self._has_room
            self._has_room = None
            self._owner.body_moved()
