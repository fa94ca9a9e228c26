"""Data channels: what is written into one end comes out of the other, unchanged and in order.

No I/O here: an end is whoever pauses when the channel is full (`Source`) and whoever says when it
has no room (`Sink`). Workers reach theirs by a socket, the engine has ends of its own for HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Final, Literal, Protocol, TypeAlias, TypeGuard

from engine.core.errors import ChannelLimitReached
from engine.core.outgoing import InvocationIds

Direction: TypeAlias = Literal["read", "write"]

DEFAULT_MESSAGES: Final = 64
MAX_MESSAGES: Final = 1024
MAX_BYTES: Final = 4 * 1024 * 1024
"""Held bytes that make a channel full, however few messages they are."""

MAX_CHANNELS: Final = 16_384
MAX_CHANNELS_OF_WORKER: Final = 1_024

UNTAKEN_S: Final = 300.0
"""A channel of this age goes if one of its ends was never taken."""

SWEEP_S: Final = 60.0

FRAME_SIZE: Final = 64 * 1024
"""Bytes in one message of the engine's own ends, as SDKs cut them: some read 1 MiB at most."""

COMPLETE: Final = 1000
"""The close code of a reader that got everything."""

LOST: Final = 1006
"""How writing ends whose end nobody has said: the writer's connection is lost."""

SERVICE_RESTART: Final = 1012
GIVEN_UP: Final = 1013

_KEY_BYTES: Final = 16
_KEYS_AT_ONCE: Final = 64


class Sink(Protocol):
    """Whoever takes what comes out of a channel; both methods return at once."""

    def take(self, is_text: bool, payload: bytes) -> bool:
        """Take a message; False if no more may follow before `Channel.go_on` is called."""

    def finish(self, code: int, reason: str) -> None:
        """Nothing follows. Called once.

        Args:
            code: COMPLETE, everything was taken; LOST, and the writer is gone; else why not.
            reason: for people.
        """


class Source(Protocol):
    """Whoever writes into a channel; what it writes though it is paused is kept."""

    def pause(self) -> None:
        """Write no more for now: the channel is full."""

    def resume(self) -> None:
        """Go on."""

    def stop(self, code: int, reason: str) -> None:
        """Write no more at all: nobody reads it. Called once, not after `end_writing`."""


class Channel:
    """One way from a writer to a reader, each of which may come when it likes.

    While the reader has room a message goes straight through. What it has no room for, or what
    comes before it, is held: so many messages or MAX_BYTES, at least one message, then the
    writer is paused.

    Args:
        messages: held messages that make it full.
        over: called once nothing can come out any more.
    """

    __slots__ = (
        "_ending",
        "_held",
        "_held_bytes",
        "_is_over",
        "_is_passing",
        "_is_source_paused",
        "_messages",
        "_over",
        "_sink",
        "_source",
        "has_reader_come",
        "has_writer_come",
    )

    def __init__(
        self, messages: int = DEFAULT_MESSAGES, over: Callable[[], None] | None = None
    ) -> None:
        self._messages = messages
        self._over = over
        self._held: deque[tuple[bool, bytes]] = deque()
        self._held_bytes = 0
        self._source: Source | None = None
        self._sink: Sink | None = None
        self._ending: tuple[int, str] | None = None
        self._is_passing = False
        self._is_source_paused = False
        self._is_over = False
        self.has_reader_come = False
        self.has_writer_come = False

    # The writer's end.

    def connect_writer(self, source: Source) -> bool:
        """Take the writing end; False if somebody has, or if nobody will read."""
        if self.has_writer_come or self._is_over:
            return False
        self.has_writer_come = True
        self._source = source
        return True

    def write(self, is_text: bool, payload: bytes) -> None:
        """Put a message in; it is dropped if nobody will read it."""
        if self._is_passing:
            assert self._sink is not None
            if not self._sink.take(is_text, payload):
                self._is_passing = False
        elif not self._is_over and self._ending is None:
            self._held.append((is_text, payload))
            self._held_bytes += len(payload)
            if not self._is_source_paused and self._is_full and self._source is not None:
                self._is_source_paused = True
                self._source.pause()

    def end_writing(self, code: int = COMPLETE, reason: str = "") -> None:
        """Say that nothing more is written; the reader still gets the rest."""
        if self._ending is None and not self._is_over:
            self._ending = code, reason
            self._source = None
            self._is_passing = False
            self._finish_when_empty()

    # The reader's end.

    def connect_reader(self, sink: Sink) -> bool:
        """Take the reading end, and what is held; False if somebody has taken it."""
        if self.has_reader_come or self._is_over:
            return False
        self.has_reader_come = True
        self._sink = sink
        self.go_on()
        return True

    def go_on(self) -> None:
        """Take what is held: the reader has room again."""
        if self._sink is None:
            return
        held = self._held
        has_room = True
        while held and has_room:
            is_text, payload = held.popleft()
            self._held_bytes -= len(payload)
            has_room = self._sink.take(is_text, payload)
            if self._is_over:
                return
        self._is_passing = has_room and self._ending is None
        if self._is_source_paused and self._is_half_empty:
            self._is_source_paused = False
            if self._source is not None:
                self._source.resume()
        self._finish_when_empty()

    def end_reading(self, code: int = COMPLETE, reason: str = "the reader has left") -> None:
        """Say that nobody reads any more: what is held is dropped, the writer stopped."""
        if not self._is_over:
            self._end(code, reason)

    # Both.

    def close(self, code: int, reason: str) -> None:
        """End it for both sides, whatever is held."""
        if self._is_over:
            return
        sink = self._sink
        self._end(code, reason)
        if sink is not None:
            sink.finish(code, reason)

    @property
    def is_claimed(self) -> bool:
        """Whether both ends were taken."""
        return self.has_reader_come and self.has_writer_come

    @property
    def _is_full(self) -> bool:
        return len(self._held) >= self._messages or self._held_bytes >= MAX_BYTES

    @property
    def _is_half_empty(self) -> bool:
        return len(self._held) * 2 <= self._messages and self._held_bytes * 2 <= MAX_BYTES

    def _finish_when_empty(self) -> None:
        if self._ending is None or self._held or self._sink is None:
            return
        sink, ending = self._sink, self._ending
        self._end(*ending)
        sink.finish(*ending)

    def _end(self, code: int, reason: str) -> None:
        source, self._source, self._sink = self._source, None, None
        self._is_over = True
        self._is_passing = False
        self._held.clear()
        self._held_bytes = 0
        if source is not None:
            source.stop(code, reason)
        over, self._over = self._over, None
        if over is not None:
            over()


class Offer(Protocol):
    """What a channel id stands for: a channel, or a request's two that are made when asked for.

    Attributes:
        id: in the refs, a UUID.
        key: in the refs; whoever does not know it gets nothing.
    """

    id: str
    key: str

    def channel(self, direction: Direction) -> Channel:
        """Return the channel whose end of this direction is asked for."""


class CreatedChannel:
    """A channel that a worker asked for.

    Attributes:
        owner_id: the worker that did; empty for the engine itself.
        created_at: monotonic, in seconds.
    """

    __slots__ = ("_channel", "created_at", "id", "key", "owner_id")

    def __init__(
        self, channel_id: str, key: str, owner_id: str, created_at: float, channel: Channel
    ) -> None:
        self.id = channel_id
        self.key = key
        self.owner_id = owner_id
        self.created_at = created_at
        self._channel = channel

    def channel(self, direction: Direction) -> Channel:
        """Return the channel, which both directions share."""
        return self._channel


class Channels:
    """All channels of an engine, by id.

    Args:
        clock: monotonic, in seconds.

    Attributes:
        offers: what may be found, by id; whoever offers a request's channels puts it in and takes
            it out, which touches no end that was taken.
        new_id: returns an id, a UUID.
        new_key: returns what nobody can guess: hex digits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.new_id = InvocationIds().next
        batches = iter(_new_keys, [])  # it never ends: there are always some
        self.new_key: Callable[[], str] = chain.from_iterable(batches).__next__
        self._clock = clock
        self.offers: dict[str, Offer] = {}
        self._created: dict[str, CreatedChannel] = {}
        self._by_owner: dict[str, dict[str, CreatedChannel]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def create(self, owner_id: str, messages: int = DEFAULT_MESSAGES) -> CreatedChannel:
        """Make a channel.

        Args:
            owner_id: of the worker that wants it; empty for the engine itself.
            messages: held messages that make it full, see `Channel`.

        Raises:
            ChannelLimitReached: the worker or the engine has too many.
        """
        owned = self._by_owner.get(owner_id, {})
        if len(owned) >= MAX_CHANNELS_OF_WORKER and owner_id:
            raise ChannelLimitReached(
                f"this worker has {len(owned)} open channels, more are not allowed; "
                "close those that are done"
            )
        if len(self._created) >= MAX_CHANNELS:
            raise ChannelLimitReached(
                f"the engine has {len(self._created)} open channels, more are not allowed; "
                "close those that are done"
            )
        channel_id = self.new_id()
        channel = Channel(messages, partial(self._forget, channel_id))
        created = CreatedChannel(channel_id, self.new_key(), owner_id, self._clock(), channel)
        self.offers[created.id] = self._created[created.id] = created
        self._by_owner.setdefault(owner_id, owned)[created.id] = created
        if self._timer is None:
            self._schedule_sweep()
        return created

    def find(self, channel_id: str, key: str) -> Offer | None:
        """Return what an id stands for; None for an unknown id or a wrong key."""
        offer = self.offers.get(channel_id)
        if offer is None or not secrets.compare_digest(offer.key.encode(), key.encode()):
            return None
        return offer

    def owner_left(self, owner_id: str) -> None:
        """End the channels of a worker that left, unless both ends were taken."""
        for created in list(self._by_owner.get(owner_id, {}).values()):
            channel = created.channel("read")
            if not channel.is_claimed:
                channel.close(GIVEN_UP, "the worker that created the channel has left")

    def sweep(self) -> None:
        """End the channels that are old and have an end that was never taken."""
        youngest = self._clock() - UNTAKEN_S
        for created in list(self._created.values()):
            if created.created_at > youngest:
                break  # they stand in the order of their making
            channel = created.channel("read")
            if not channel.is_claimed:
                channel.close(GIVEN_UP, f"the other end was not taken within {UNTAKEN_S:g} s")

    def close(self) -> None:
        """End all that were created: the engine stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for created in list(self._created.values()):
            created.channel("read").close(SERVICE_RESTART, "engine stops")
        self.offers.clear()

    def _schedule_sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep_again)

    def _sweep_again(self) -> None:
        self._timer = None
        self.sweep()
        if self._created:
            self._schedule_sweep()

    def _forget(self, channel_id: str) -> None:
        self.offers.pop(channel_id, None)
        created = self._created.pop(channel_id)
        owned = self._by_owner[created.owner_id]
        del owned[channel_id]
        if not owned:
            del self._by_owner[created.owner_id]


def _new_keys() -> list[str]:
    """Return some keys: the system is asked for the bits of many at once."""
    return secrets.token_bytes(_KEY_BYTES * _KEYS_AT_ONCE).hex("-", _KEY_BYTES).split("-")


def is_direction(text: str) -> TypeGuard[Direction]:
    """Tell whether a word is a direction of a ref."""
    return text in {"read", "write"}


def ref(channel_id: str, key: str, direction: Direction) -> bytes:
    """Return what SDKs make a reader or a writer of: `{channel_id, access_key, direction}`."""
    return (
        f'{{"channel_id":"{channel_id}","access_key":"{key}","direction":"{direction}"}}'
    ).encode()
