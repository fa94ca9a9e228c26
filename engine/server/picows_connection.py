"""One connection on picows: bytes in, whole messages out to whoever receives them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from engine.core.listeners import ASGIApp
from engine.server.asgi_bridge import AsgiBridge
from engine.server.direct_socket import DirectSocket
from engine.server.frames import close_frame, read_close
from engine.server.grown_buffers import GROWN_FROM, GrownBuffers
from engine.server.handshake import Decision, http_response, refusal_of
from engine.server.inbox import Inbox
from engine.server.outbox import DEFAULT_LIMITS, OutboxLimits
from engine.server.picows_parser import (
    MAX_MESSAGE_SIZE,
    READ_BUFFER_SIZE,
    Parser,
    ParserTransport,
    new_parser,
    restarted_parser,
)
from engine.server.socket import (
    INTERNAL_ERROR,
    NO_CODE_IN_CLOSE_FRAME,
)

logger = logging.getLogger(__name__)

PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
MESSAGE_TOO_BIG: Final = 1009

ACCEPTED: Final = b"HTTP/1.1 101 "
"""How the answer to a handshake begins that makes the connection a WebSocket."""

CLOSE_TIMEOUT_S: Final = 3.0
"""How long a peer may take to answer our close frame, or to notice that we are done."""

FULL_SMALL_BUFFER: Final = (READ_BUFFER_SIZE - 256) * 16
READ_SIZE: Final = FULL_SMALL_BUFFER * 9 // 10
"""Bytes read at once into a buffer of this size: one more, and picows would double it."""

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CONTINUATION: Final = WSMsgType.CONTINUATION
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG
_CLOSE: Final = WSMsgType.CLOSE

BURST_FROM: Final = READ_BUFFER_SIZE // 2
"""Bytes behind a frame in the read buffer that say that much comes at once."""

_DISCARDED: Final = memoryview(bytearray(READ_SIZE))
"""Where everything goes that peers send after they have been cut."""


@dataclass(slots=True, eq=False)
class Shared:
    """What all connections of a server have in common.

    Attributes:
        application: started with the scope of each handshake.
        limits: how much may be queued for one peer.
        connections: those that live.
        tasks: the runs of the application.
        grown: told when a read buffer has grown.
    """

    application: ASGIApp
    limits: OutboxLimits = DEFAULT_LIMITS
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    grown: GrownBuffers = field(default_factory=GrownBuffers)
    _empty: asyncio.Event | None = None

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is lost."""
        self.connections.discard(connection)
        if self._empty is not None and not self.connections:
            self._empty.set()

    async def wait_until_empty(self, timeout_s: float) -> None:
        """Return when no connection is left, at the latest after `timeout_s`."""
        if not self.connections:
            return
        self._empty = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)


class Connection(WSListener, asyncio.BufferedProtocol):
    """The reading side and the life of one connection.

    It stands between uvloop and picows: uvloop reads into the buffer of picows' parser,
    the parser calls `on_ws_frame`, and what picows writes by itself comes back through
    `ParserTransport`. So it all leaves in order, and a parser whose buffer has grown can be
    replaced by a new one.

    While little comes at once, the transport calls the parser without us in between (a sixth of
    a call's cost among a thousand workers). A burst or a large message, which makes the buffer
    grow, changes that: then each read is bounded, until the buffer has been given back.

    Args:
        shared: what it has in common with the others.
        handshake_timeout_s: how long the request head may take.
    """

    __slots__ = (
        "_bridge",
        "_close_sent",
        "_frame",
        "_handshake_timeout_s",
        "_has_complained",
        "_is_answered",
        "_is_direct",
        "_is_handshake_done",
        "_is_held_up",
        "_is_outbox_full",
        "_is_reading",
        "_loop",
        "_parser",
        "_partial",
        "_partial_is_text",
        "_shared",
        "_timer",
        "buffer_updated",
        "get_buffer",
        "inbox",
        "socket",
        "transport",
    )

    socket: DirectSocket
    transport: asyncio.Transport

    def __init__(self, shared: Shared, handshake_timeout_s: float) -> None:
        self._shared = shared
        self._bridge: AsgiBridge | None = AsgiBridge(self, shared.application)
        self._handshake_timeout_s = handshake_timeout_s
        self._loop = asyncio.get_running_loop()
        self._parser: Parser | None = None
        self._is_direct = False
        self._read_through(self._next_buffer, self._parse)
        self._timer: asyncio.TimerHandle | None = None
        self._is_answered = False
        self._is_handshake_done = False
        self._is_outbox_full = False
        self._is_held_up = False
        self._is_reading = True
        self._close_sent = False
        self._has_complained = False
        self._frame: WSFrame | None = None
        self._partial: bytearray | None = None
        self._partial_is_text = False
        self.inbox = Inbox(self._read_or_pause, self.application_failed)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the request head."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)
        self.socket = DirectSocket(self, self.transport, self._loop, self._shared.limits)
        self._shared.connections.add(self)
        self._parser = new_parser(self._decide, ParserTransport(self))
        self._timer = self._loop.call_later(self._handshake_timeout_s, self._handshake_too_slow)

    def _next_buffer(self, sizehint: int) -> memoryview:
        """Return the parser's free room, without more than it can take and not grow."""
        if self._parser is None:
            return _DISCARDED
        buffer = self._parser.get_buffer(sizehint)
        if READ_SIZE < len(buffer) <= FULL_SMALL_BUFFER:
            return buffer[:READ_SIZE]
        return buffer

    def _parse(self, nbytes: int) -> None:
        """Have the parser handle what was read."""
        if self._parser is None:
            return
        self._frame = None
        self._parser.buffer_updated(nbytes)
        if nbytes >= GROWN_FROM:
            self._shared.grown.note(self)

    def _read_through(
        self, get_buffer: Callable[[int], memoryview], buffer_updated: Callable[[int], None]
    ) -> None:
        """Choose what the transport calls; it asks for both when its protocol is set."""
        self.get_buffer = get_buffer  # type: ignore[method-assign, assignment]
        self.buffer_updated = buffer_updated  # type: ignore[method-assign, assignment]

    def _read_directly(self) -> None:
        """Let the transport call the parser."""
        assert self._parser is not None
        self._is_direct = True
        self._read_through(self._parser.get_buffer, self._parser.buffer_updated)
        self.transport.set_protocol(self)

    def _read_watchfully(self) -> None:
        """Stand between the transport and the parser, or what is left of it."""
        if self._is_direct:
            self._is_direct = False
            self._read_through(self._next_buffer, self._parse)
            self.transport.set_protocol(self)

    def _drop_parser(self) -> None:
        self._parser = None
        self._read_watchfully()

    def eof_received(self) -> bool:
        """Write what is queued, then let the transport close: half a WebSocket is none."""
        self.socket.flush()
        return False

    def pause_writing(self) -> None:
        """Do nothing: the socket knows that it has handed something over."""

    def resume_writing(self) -> None:
        """Let the socket go on: the transport is empty."""
        self.socket.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that it is over, and let go of everything."""
        self._shared.discard(self)
        self._stop_timer()
        self.inbox.end()
        self.socket.release()
        self._parser = None
        self._frame = None
        self._bridge = None
        # They are bound to us or to the parser, which knows us: cycles otherwise.
        del self.get_buffer, self.buffer_updated

    # What picows calls.

    def parser_wrote(self, data: bytes) -> None:
        """Take picows' answer to a handshake; keep its complaint until the read is handled."""
        if not self._is_handshake_done:
            self._is_answered = True
            if data.startswith(ACCEPTED):
                # The application greets at once: both leave in one write.
                self.socket.queue_answer(data)
            else:
                self.transport.write(data)
        elif not self._has_complained:
            # Only in a moment, since picows looks one frame ahead: the good ones come first.
            self._has_complained = True
            self._loop.call_soon(self._fail_as_told, data)

    def _fail_as_told(self, complaint: bytes) -> None:
        code, reason = read_close(complaint[2:])
        self.fail(code or PROTOCOL_ERROR, reason)

    def parser_closed(self) -> None:
        """End a connection whose handshake failed."""
        if self._is_handshake_done:
            return
        if not self._is_answered:
            head_too_large = http_response(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"The request head is too large.\n"
            )
            self._refuse_now(head_too_large.to_bytes())
        else:
            self._linger()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin to send: the handshake is answered."""
        if not self._is_handshake_done:
            self._is_handshake_done = True
            if not self._close_sent:
                self._stop_timer()
            if self._parser is not None:
                self._read_directly()
            self.socket.handshake_done()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a text message in one frame straight over; it is what nearly all frames are."""
        self._frame = frame
        kind = frame.msg_type
        if (
            kind is not _TEXT
            or not frame.fin
            or frame.rsv1
            or frame.rsv2
            or frame.rsv3
            or self._partial is not None
        ):
            self._on_other_frame(kind, frame)
            return
        payload = frame.get_payload_as_bytes()
        if not payload.isascii() and not _is_utf8(payload):
            self.fail(INVALID_TEXT, "a text message is not UTF-8")
            return
        if frame.tail_size > BURST_FROM or len(payload) >= GROWN_FROM:
            self._expect_much(len(payload))
        try:
            self.inbox.on_text(payload)
        except Exception as error:
            self.inbox.receiver_failed(error)

    def _expect_much(self, size: int) -> None:
        """Watch over the read buffer from now on, after a burst or a message of `size` bytes."""
        if self._is_direct:
            self._read_watchfully()
            self._shared.grown.note(self)
        elif size >= GROWN_FROM:
            self._shared.grown.note(self)

    def _on_other_frame(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Handle everything but a text message in one frame."""
        if self.inbox.is_over:
            return
        payload = frame.get_payload_as_bytes()
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.fail(PROTOCOL_ERROR, "a reserved bit is set")
        elif kind is _PING:
            self.socket.pong(payload)
        elif kind is _CLOSE:
            self._on_close(payload)
        elif kind is not _PONG:
            self._on_part(kind, bool(frame.fin), payload)

    def _on_part(self, kind: WSMsgType, is_last: bool, payload: bytes) -> None:
        """Put a message of several frames together, or hand a binary one over."""
        if (kind is _CONTINUATION) != (self._partial is not None):
            self.fail(PROTOCOL_ERROR, "a continuation frame is missing or out of place")
            return
        if self._partial is None:
            self._partial_is_text = kind is _TEXT
            if not is_last:
                self._partial = bytearray(payload)
                return
        else:
            if len(self._partial) + len(payload) > MAX_MESSAGE_SIZE:
                self.fail(MESSAGE_TOO_BIG, f"a message is larger than {MAX_MESSAGE_SIZE} bytes")
                return
            self._partial += payload
            if not is_last:
                return
            payload, self._partial = bytes(self._partial), None
        if len(payload) >= GROWN_FROM:
            self._expect_much(len(payload))
        if self._partial_is_text and not payload.isascii() and not _is_utf8(payload):
            self.fail(INVALID_TEXT, "a text message is not UTF-8")
            return
        self.inbox.deliver(self._partial_is_text, payload)

    def _on_close(self, payload: bytes) -> None:
        try:
            code, reason = read_close(payload)
        except UnicodeDecodeError:
            self.fail(INVALID_TEXT, "the reason of a close frame is not UTF-8")
            return
        except ValueError as error:
            self.fail(PROTOCOL_ERROR, str(error))
            return
        if not self._close_sent:
            self._set_close_code(NO_CODE_IN_CLOSE_FRAME if code is None else code, reason)
            self.socket.finish(close_frame(code))
        self.inbox.end()
        self._drop_parser()
        self.transport.close()
        self._abort_later()

    # The handshake.

    def _decide(self, request: WSUpgradeRequest) -> Decision:
        """Answer the request head: refuse it, or ask the application's first step."""
        assert self._bridge is not None
        refused = refusal_of(request)
        if refused is not None:
            return refused
        decision, task = self._bridge.decide(request)
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)
        return decision

    def _handshake_too_slow(self) -> None:
        timeout = http_response(HTTPStatus.REQUEST_TIMEOUT, b"The request head took too long.\n")
        self._refuse_now(timeout.to_bytes())

    def _refuse_now(self, response: bytes | bytearray) -> None:
        self._is_answered = True
        self.transport.write(response)
        self._linger()

    def accept(self, subprotocol: str | None) -> None:
        """Take the application's word, given through its socket."""
        if self._bridge is not None:
            self._bridge.accept(subprotocol)

    # Pausing.

    def pause_reading(self) -> None:
        """Stop reading: the peer does not take its own answers."""
        self._is_outbox_full = True
        self._read_or_pause()

    def resume_reading(self) -> None:
        """Read again: half of the queue is gone."""
        if self._is_outbox_full:
            self._is_outbox_full = False
            self._read_or_pause()

    def hold_up(self, is_held_up: bool) -> None:
        """Stop reading because whoever takes the peer's messages asks for it, or go on."""
        self._is_held_up = is_held_up
        self._read_or_pause()

    def _read_or_pause(self) -> None:
        wants_to_read = self._close_sent or not (
            self._is_outbox_full or self._is_held_up or self.inbox.is_full
        )
        if wants_to_read == self._is_reading or self.transport.is_closing():
            return
        self._is_reading = wants_to_read
        if wants_to_read:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def give_back_buffer(self) -> bool:
        """Replace a parser whose buffer has grown; False in the middle of a frame."""
        if self._parser is None or self._close_sent or self._is_direct:
            return True
        if self._frame is None or self._frame.tail_size:
            return False
        self._parser = restarted_parser(self, ParserTransport(self))
        self._read_directly()
        return True

    # The end.

    def wait_for_close_reply(self, code: int, reason: str) -> None:
        """Ignore the peer's messages, and cut it if its close frame does not come soon."""
        self._close_sent = True
        self._set_close_code(code, reason)
        self.inbox.ignore()
        self._read_or_pause()
        self._abort_later(self.socket.limits.close_reply_s)

    def fail(self, code: int, reason: str) -> None:
        """End the connection because of the peer: a close frame, and no more than that."""
        if self.inbox.is_over:
            return
        logger.info("a peer is cut", extra={"close_code": code, "close_reason": reason})
        if not self._close_sent:
            self._set_close_code(code, reason)
            self.socket.finish(close_frame(code, reason))
        self.inbox.end()
        self._linger()

    def shut_down(self, code: int) -> None:
        """End the connection because the server stops."""
        if not self._is_handshake_done:
            self.abort()
        elif self.socket.is_open:
            self.socket.close(code)

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()

    def _linger(self) -> None:
        """Let the peer read our last words: closing with unread bytes would reset them away."""
        self._drop_parser()
        self._close_sent = True
        self._read_or_pause()
        if not self.transport.is_closing():
            self.transport.write_eof()
        self._abort_later()

    def application_failed(self) -> None:
        """Close what the application has left open; never cleanly, or workers stay away."""
        if self.socket.is_open and not self.inbox.is_over:
            self.socket.close(INTERNAL_ERROR)

    def _set_close_code(self, code: int, reason: str) -> None:
        self.inbox.close_code = code
        self.inbox.close_reason = reason

    def _abort_later(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(timeout_s, self.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
