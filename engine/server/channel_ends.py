"""The sockets of a data channel's ends: frames of one go to the other, held up where need be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from engine.core.channels import COMPLETE, LOST
from engine.server.outbox import OutboxLimits
from engine.server.socket import Receiver, Socket

if TYPE_CHECKING:
    from engine.core.channels import Channel, Direction

READER_LIMITS: Final = OutboxLimits(
    messages=1024, size=1024 * 1024, stall_s=600.0, close_reply_s=600.0
)
"""What a reader's socket may hold; a reader may take its time: its writer waits for it."""


class End(Receiver, Protocol):
    """A socket at one end of a channel."""

    def connect(self) -> bool:
        """Take the end; False if somebody else has."""

    def left(self, code: int) -> None:
        """Handle the end of the connection; 1006: it came without a word."""


def end_of(channel: Channel, direction: Direction, socket: Socket) -> End:
    """Return what serves a socket at that end of a channel."""
    return WriterEnd(channel, socket) if direction == "write" else ReaderEnd(channel, socket)


class WriterEnd:
    """The socket that a channel is written by: a `Source`."""

    __slots__ = ("_channel", "_socket")

    def __init__(self, channel: Channel, socket: Socket) -> None:
        self._channel = channel
        self._socket = socket

    def connect(self) -> bool:
        """Take the writing end."""
        return self._channel.connect_writer(self)

    def on_text(self, payload: bytes) -> None:
        """Write a text message."""
        self._channel.write(True, payload)

    def on_binary(self, payload: bytes) -> None:
        """Write a binary message."""
        self._channel.write(False, payload)

    def left(self, code: int) -> None:
        """End the writing."""
        self._channel.end_writing(LOST if code == LOST else COMPLETE)

    def pause(self) -> None:
        """Let the messages wait in the network."""
        self._socket.pause()

    def resume(self) -> None:
        """Read on."""
        self._socket.resume()

    def stop(self, code: int, reason: str) -> None:
        """End the connection: nobody reads."""
        self._socket.close(code, reason)


class ReaderEnd:
    """The socket that a channel is read by: a `Sink`."""

    __slots__ = ("_channel", "_socket")

    def __init__(self, channel: Channel, socket: Socket) -> None:
        self._channel = channel
        self._socket = socket

    def connect(self) -> bool:
        """Take the reading end."""
        self._socket.limit(READER_LIMITS, self._channel.go_on)
        return self._channel.connect_reader(self)

    def on_text(self, payload: bytes) -> None:
        """Ignore it: readers have nothing to say."""

    def on_binary(self, payload: bytes) -> None:
        """Ignore it: readers have nothing to say."""

    def left(self, code: int) -> None:
        """End the reading."""
        self._channel.end_reading()

    def take(self, is_text: bool, payload: bytes) -> bool:
        """Send a message on."""
        return self._socket.write(is_text, payload)

    def finish(self, code: int, reason: str) -> None:
        """End the connection once everything is sent; a lost writer has ended all the same."""
        self._socket.close(COMPLETE if code == LOST else code, reason)
