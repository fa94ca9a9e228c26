"""What a message carries beside its data: trace context, metadata, namespaces; as JSON text."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from engine.core.protocol import encode

NOTHING: Final = msgspec.Raw(b"")

_OWN_MEMBERS: Final = frozenset({"attempt", "message_id", "queue", "topic"})
"""The members of a handler's metadata that the engine sets."""


class Context(msgspec.Struct, omit_defaults=True, gc=False):
    """The context of a message.

    Attributes:
        traceparent: trace context of whoever sent it.
        baggage: its trace baggage.
        metadata: the metadata of the call that is queued, JSON text.
        namespace: where the function lives, if the call said so.
        sender_namespace: the namespace that called, if it is not the default one.
    """

    traceparent: str | None = None
    baggage: str | None = None
    metadata: msgspec.Raw = NOTHING
    namespace: str | None = None
    sender_namespace: str | None = None


_decode = msgspec.json.Decoder(Context).decode
NO_CONTEXT: Final = Context()


def context_text(context: Context) -> bytes:
    """Return a context as it is stored; empty if there is nothing in it."""
    return b"" if context == NO_CONTEXT else encode(context)


def trace_text(traceparent: str | None, baggage: str | None) -> bytes:
    """Return the context of a message that carries nothing but its trace."""
    if traceparent is None and baggage is None:
        return b""
    return encode(Context(traceparent=traceparent, baggage=baggage))


def read_context(text: bytes) -> Context:
    """Return the context that was stored."""
    return _decode(text) if text else NO_CONTEXT


def metadata_head(own: dict[str, str], given: bytes | msgspec.Raw | None) -> bytes:
    """Return the beginning of a handler's metadata, up to the attempt's number.

    Args:
        own: the members that are the same for every message: `{"topic": …}`.
        given: a trigger's or a call's metadata; members of an object are handed on.
    """
    members: dict[str, msgspec.Raw] = {}
    if given and bytes(given).lstrip()[:1] == b"{":
        decoded = msgspec.json.decode(given, type=dict[str, msgspec.Raw])
        members = {name: value for name, value in decoded.items() if name not in _OWN_MEMBERS}
    return encode({**members, **own})[:-1] + b',"attempt":'


def metadata_of(head: bytes, attempt: int, message_id: str) -> bytes:
    """Return the metadata of one attempt: `{…, attempt, message_id}`."""
    return b'%b%d,"message_id":%b}' % (head, attempt, encode(message_id))


def baggage_for(function_id: str, given: str | None) -> str:
    """Return the baggage of a queued call, which names its function."""
    own = "iii.function.id=" + quote(function_id, safe="")
    return f"{given},{own}" if given else own
