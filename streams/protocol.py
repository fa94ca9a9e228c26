"""What stream clients say and hear: messages in, envelopes out; no I/O.

Source: modules.md sections 3.2 and 3.3 of the iii reference; `seq`, `since`, `resumed` and `lagged`
are additions that its clients ignore.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from engine.core.protocol import NULL, encode
from kv.checks import MAX_NAME_BYTES


class BadMessage(Exception):
    """A client's message cannot be read; it is ignored, and the socket stays open."""


class Place(msgspec.Struct, rename="camel", gc=False):
    """`{subscriptionId, streamName, groupId, id?, since?}`.

    Attributes:
        id: of one item; None for the whole group.
        since: the last `seq` that the client has seen; anything but a whole number is ignored.
    """

    subscription_id: str
    stream_name: str
    group_id: str
    id: str | None = None
    since: Any = None

    @property
    def last_seen(self) -> int | None:
        """The `seq` to go on after, if the client has named one."""
        return self.since if type(self.since) is int else None


class ClientMessage(msgspec.Struct, gc=False):
    """A message of a client: it follows something, or no longer."""

    type: Literal["join", "leave"]
    data: Place


_decode: Final = msgspec.json.Decoder(ClientMessage).decode


def read_message(payload: bytes) -> ClientMessage:
    """Decode a message.

    Raises:
        BadMessage: it is no message of this protocol; the text says why.
    """
    try:
        message = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(str(error)) from error
    place = message.data
    names = (place.subscription_id, place.stream_name, place.group_id, place.id or "")
    if any("\0" in name for name in names):
        raise BadMessage("a name must not hold the NUL character")
    if max(len(name.encode()) for name in names) > MAX_NAME_BYTES:
        raise BadMessage(f"a name is longer than {MAX_NAME_BYTES} bytes")
    return message


def group_members(stream_name: str, group_id: str) -> bytes:
    """Return the members that all envelopes of a group have, up to the value of `id`."""
    return b',"streamName":%b,"groupId":%b,"id":' % (encode(stream_name), encode(group_id))


def envelope(timestamp: int, members: bytes, item_id: bytes, event: bytes, seq: int) -> bytes:
    """Return an envelope as JSON text.

    Args:
        timestamp: Unix milliseconds.
        members: from `group_members`.
        item_id: JSON text: a string or `null`.
        event: JSON text: an object with `type`.
        seq: greater than that of every envelope of the group before it.
    """
    return b'{"type":"stream","timestamp":%d%b%b,"event":%b,"seq":%d}' % (
        timestamp,
        members,
        item_id,
        event,
        seq,
    )


def data_event(kind: bytes, data: bytes) -> bytes:
    """Return `{type, data}`; `kind` is `create`, `update`, `delete` or `sync`."""
    return b'{"type":"%b","data":%b}' % (kind, data)


def custom_event(kind: str, data: bytes) -> bytes:
    """Return the event of `stream::send`: `{type: "event", event: {type, data}}`."""
    return b'{"type":"event","event":{"type":%b,"data":%b}}' % (encode(kind), data)


def resumed_event(count: int, after_seq: int) -> bytes:
    """Return the event that says that all since `after_seq` has been sent again."""
    return b'{"type":"resumed","data":{"replayed":%d,"after_seq":%d}}' % (count, after_seq)


def lagged_event(dropped: int, after_seq: int) -> bytes:
    """Return the event that says how many envelopes were dropped, and after which one."""
    return b'{"type":"lagged","data":{"dropped":%d,"after_seq":%d}}' % (dropped, after_seq)


UNAUTHORIZED: Final = b'{"type":"unauthorized"}'


def json_or_null(text: str | None) -> bytes:
    """Return a string as JSON text, `null` for None."""
    return NULL if text is None else encode(text)
