"""An answer that comes piece by piece through the `response` channel of a request."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from engine.core.channels import COMPLETE, LOST, Channel
from engine.modules.api.answer import read_headers
from engine.modules.api.errors import CLOSE, ClientGone, Headers, Response

if TYPE_CHECKING:
    from engine.core.listeners import Exchange, Send

logger = logging.getLogger(__name__)

HELD_BYTES: Final = 256 * 1024
"""What waits for a slow client before the handler is paused."""

INTERNAL_ERROR: Final = 1011

LOWEST_STATUS: Final = 100
HIGHEST_STATUS: Final = 599

EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE: Final = b": keep-alive\n"

_NO_LENGTH: Final = (b"content-length", b"0")


class IncompleteResponse(Exception):
    """A response ended before it was complete: its connection has to end, too."""


class _Control(msgspec.Struct, gc=False):
    type: str = ""
    status_code: Any = None
    headers: msgspec.Raw = msgspec.Raw()


_decode_control = msgspec.json.Decoder(_Control).decode


class DownloadOwner(Protocol):
    """Whoever sends what comes out of the channel."""

    def head_ready(self, download: Download) -> None:
        """The first bytes of the body have come."""

    def answer_ready(self, response: Response) -> None:
        """The channel ended without a body, or the answer has none."""

    def writer_lost(self) -> None:
        """The writer's connection ended without a word: `settle` waits to be called."""

    def body_missing(self) -> None:
        """The channel ended without the body that its content length had announced."""

    def stream_over(self) -> None:
        """The answer was sent, or cannot be."""


class Download:
    """The reading end of a `response` channel, as far as the client: a `Sink`.

    Text messages set status and headers until the first binary one, which begins the body:
    `{"type": "set_status", "status_code"}`, `{"type": "set_headers", "headers"}`.

    Args:
        owner: is told when there is an answer.
        is_head: the request's method is HEAD.

    Attributes:
        channel: the one that it reads.
        status: of the answer.
        headers: of the answer.
    """

    def __init__(self, owner: DownloadOwner, *, is_head: bool) -> None:
        self.channel = Channel()
        self.status = 200
        self.headers: Headers = []
        self._owner = owner
        self._is_head = is_head
        self._length: int | None = None
        self._has_begun = False
        self._has_controls = False
        self._is_abandoned = False
        self._is_line_begun = False
        self._ending: int | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._arrived: asyncio.Future[bool] | None = None
        self.channel.connect_reader(self)

    # What the channel calls.

    def take(self, is_text: bool, payload: bytes) -> bool:
        """Take a control message, or bytes of the body."""
        if is_text:
            if not self._has_begun:
                self._control(payload)
            return True
        if not self._has_begun:
            self._has_begun = True
            if self._is_bodiless:
                self._owner.answer_ready(self._without_body())
                return True
            self._owner.head_ready(self)
        self._chunks.append(payload)
        self._size += len(payload)
        self._wake()
        return self._size < HELD_BYTES

    def finish(self, code: int, reason: str) -> None:
        """End the body; without any the answer is empty."""
        if code == LOST:
            self._owner.writer_lost()
        elif self._has_begun:
            self._ending = code
            self._wake()
        elif self._length and not self._is_bodiless:
            self._owner.body_missing()
        else:
            self._owner.answer_ready(self._without_body())

    # What the owner calls.

    def settle(self, *, is_complete: bool) -> None:
        """Say whether a writer that was lost had written everything.

        Some SDKs end a connection before their close frame has left, others when the program
        forgets to close: what has come counts if the handler did its work, and said something.
        """
        if is_complete and (self._has_begun or self._has_controls):
            self.finish(COMPLETE, "")
        elif self._has_begun:
            self.finish(INTERNAL_ERROR, "")
        else:
            self._owner.body_missing()

    def abandon(self) -> None:
        """Take no more of the handler's, and let `send` end: nobody wants the answer."""
        self._is_abandoned = True
        self.channel.end_reading()
        self._wake()

    def end(self) -> None:
        """Let go of the channel: `send` has ended."""
        self._owner.stream_over()

    async def send(
        self, send: Send, exchange: Exchange | None, headers: Headers, heartbeat_s: float | None
    ) -> None:
        """Send the answer, as fast as the client takes it.

        Args:
            send: ASGI's.
            exchange: of the request, if the server offers it.
            headers: those of the answer and of every answer.
            heartbeat_s: an event stream that was silent for so long gets a comment line.

        Raises:
            ClientGone: the client has left.
            IncompleteResponse: the handler is lost, or wrote less than it had announced.
        """
        is_beating = self._length is None and _is_event_stream(headers)
        remaining = self._length
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        while remaining != 0:
            data = await self._next(heartbeat_s if is_beating else None)
            if self._is_abandoned or (exchange is not None and not exchange.is_open):
                raise ClientGone("the client left in the middle of its answer")
            if data is None:
                break
            if remaining is not None:
                if len(data) > remaining:
                    logger.warning("a handler wrote more than its content-length: it is cut")
                    data = data[:remaining]
                remaining -= len(data)
            await send({"type": "http.response.body", "body": data, "more_body": True})
        if remaining or (remaining is None and self._ending != COMPLETE):
            raise IncompleteResponse("the handler did not write all of its answer")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    # The work.

    @property
    def _is_bodiless(self) -> bool:
        return self._is_head or self.status < 200 or self.status in {204, 304}

    def _without_body(self) -> Response:
        headers = self.headers
        if self.status < 200 or self.status == 204:
            headers = [each for each in headers if each[0] != b"content-length"]
        if self.status < 200:
            # No client takes it for the end of the answer, unless the connection ends too.
            headers = [*headers, CLOSE]
        elif not self._is_bodiless and self._length is None:
            headers = [*headers, _NO_LENGTH]
        return Response(self.status, headers, b"")

    def _control(self, payload: bytes) -> None:
        try:
            control = _decode_control(payload)
        except msgspec.DecodeError:
            return
        self._has_controls = True
        if control.type == "set_status":
            status = control.status_code
            is_number = isinstance(status, int) and not isinstance(status, bool)
            if is_number and LOWEST_STATUS <= status <= HIGHEST_STATUS:
                self.status = status
        elif control.type == "set_headers":
            self._set_headers(bytes(control.headers) or b"{}")

    def _set_headers(self, raw: bytes) -> None:
        headers, _ = read_headers(raw)
        length = _read_length(raw)
        if length is not None:
            self._length = length
            headers.append((b"content-length", b"%d" % length))
        names = {name for name, _ in headers}
        self.headers = [each for each in self.headers if each[0] not in names] + headers

    async def _next(self, heartbeat_s: float | None) -> bytes | None:
        """Return what has come, a comment line after too long a silence, None at the end."""
        while not self._chunks:
            if self._ending is not None or self._is_abandoned:
                return None
            is_silent = await self._wait(heartbeat_s)
            if is_silent and not self._is_line_begun:
                return KEEP_ALIVE
        chunks, self._chunks = self._chunks, []
        was_full, self._size = self._size >= HELD_BYTES, 0
        if was_full:
            self.channel.go_on()
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if data:
            self._is_line_begun = not data.endswith(b"\n")
        return data

    async def _wait(self, limit_s: float | None) -> bool:
        """Wait for more, or for the end; True if there was neither for `limit_s`."""
        loop = asyncio.get_running_loop()
        self._arrived = loop.create_future()
        timer = None if limit_s is None else loop.call_later(limit_s, self._wake, True)
        try:
            return await self._arrived
        finally:
            self._arrived = None
            if timer is not None:
                timer.cancel()

    def _wake(self, is_silent: bool = False) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(is_silent)


def _is_event_stream(headers: Headers) -> bool:
    return any(
        name == b"content-type" and value.lower().startswith(EVENT_STREAM.encode())
        for name, value in headers
    )


def _read_length(raw: bytes) -> int | None:
    """Return the content length among headers, which the function may only set for a stream."""
    try:
        headers = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    for name, value in headers.items():
        if name.strip().lower() == "content-length" and str(value).strip().isdecimal():
            return int(str(value).strip())
    return None
