"""The frames that the engine sends to workers, and the ids in them.

Payloads are pasted in as the JSON text that came; a large one is not even copied.

Source: protocol.md sections 1 and 2 of the iii protocol.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import msgspec

from engine.core.protocol import NULL, encode


def random_uuid() -> str:
    """Return a random UUID, at a fifth of the cost of `str(uuid4())`."""
    digits = os.urandom(15).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-{digits[18:]}"


class InvocationIds:
    """Hands out the ids of the engine's own hops: UUIDs, since Rust workers drop anything else.

    Random bits for the process, then a counter of 48 bits: never repeated, and thirty times
    cheaper than `uuid4()`, which would be a tenth of a call's cost. (To write the whole counter
    anew for each id costs three times as much as to append its last digits.)

    Attributes:
        next: returns a new id in the canonical form of a version 4 UUID.
    """

    def __init__(self) -> None:
        seed = secrets.token_hex(9)
        prefix = f"{seed[:8]}-{seed[8:12]}-4{seed[12:15]}-8{seed[15:18]}-"
        blocks = map(partial(_ids_of_block, prefix), itertools.count())
        self.next: Callable[[], str] = itertools.chain.from_iterable(blocks).__next__


_LAST_DIGITS: Final = [f"{number:03x}" for number in range(16**3)]


def _ids_of_block(prefix: str, number: int) -> Iterator[str]:
    return map(f"{prefix}{number:09x}".__add__, _LAST_DIGITS)


def invocation_head(function_id: str) -> bytes:
    """Return the constant middle of every `invokefunction` frame of one function."""
    return b'","function_id":' + encode(function_id) + b',"data":'


class LargeFrame:
    """A frame whose payload is too large to be copied into it: three pieces, sent in a row."""

    __slots__ = ("_size", "head", "payload", "tail")

    def __init__(self, head: bytes, payload: bytes | msgspec.Raw, tail: bytes) -> None:
        self.head = head
        self.payload = memoryview(payload)
        self.tail = tail
        self._size = len(head) + len(self.payload) + len(tail)

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join((self.head, self.payload, self.tail))

    def decode(self) -> str:
        """Return the whole frame as text."""
        return bytes(self).decode()


Outgoing: TypeAlias = bytes | LargeFrame
"""A frame on its way to a worker."""

UNCOPIED_FROM: Final = 64 * 1024
"""From this size on, in bytes, copying a payload costs more than writing it on its own."""


def invocation_frame(
    invocation_id: str,
    head: bytes,
    data: bytes | msgspec.Raw,
    traceparent: str | None,
    baggage: str | None,
    metadata: bytes | msgspec.Raw,
) -> Outgoing:
    """Build `invokefunction` to a worker: `data` always present, the rest only if known."""
    start = b'{"type":"invokefunction","invocation_id":"'
    if traceparent is None and baggage is None and not metadata and len(data) < UNCOPIED_FROM:
        return b"".join((start, invocation_id.encode(), head, data, b"}"))
    rest = _trace_members(traceparent, baggage)
    if metadata and bytes(metadata) != NULL:
        rest += (b',"metadata":', metadata)
    return _frame(b"".join((start, invocation_id.encode(), head)), data, rest)


def result_frame(
    invocation_id: bytes,
    function_id: bytes,
    kind: bytes,
    value: bytes | msgspec.Raw,
    traceparent: str | None,
    baggage: str | None,
) -> Outgoing:
    """Build `invocationresult` to a caller.

    Args:
        invocation_id: the caller's id as JSON, exactly as it was sent.
        function_id: the function's id as JSON.
        kind: `RESULT`, `ERROR`; with an empty value the frame carries neither member.
        value: JSON text; empty for success without a value.
        traceparent: trace context to hand back, if any.
        baggage: trace baggage to hand back, if any.
    """
    start = b'{"type":"invocationresult","invocation_id":'
    middle = b',"function_id":'
    size = len(value)
    if traceparent is None and baggage is None and 0 < size < UNCOPIED_FROM:
        return b"".join((start, invocation_id, middle, function_id, kind, value, b"}"))
    head = b"".join((start, invocation_id, middle, function_id, kind if size else b""))
    return _frame(head, value, _trace_members(traceparent, baggage))


def _frame(head: bytes, payload: bytes | msgspec.Raw, rest: list[bytes | msgspec.Raw]) -> Outgoing:
    tail = b"".join((*rest, b"}"))
    if len(payload) < UNCOPIED_FROM:
        return b"".join((head, payload, tail))
    return LargeFrame(head, payload, tail)


RESULT: Final = b',"result":'
ERROR: Final = b',"error":'


def _trace_members(traceparent: str | None, baggage: str | None) -> list[bytes | msgspec.Raw]:
    members: list[bytes | msgspec.Raw] = []
    if traceparent is not None:
        members += (b',"traceparent":', encode(traceparent))
    if baggage is not None:
        members += (b',"baggage":', encode(baggage))
    return members


def worker_registered(worker_id: str, reattach_token: str) -> bytes:
    """Build the greeting: the first frame of every worker connection.

    It carries no `features`: a worker that reads them waits for a protocol that we do not speak.
    """
    return encode(
        {"type": "workerregistered", "worker_id": worker_id, "reattach_token": reattach_token}
    )


def trigger_frame(
    kind: Literal["registertrigger", "unregistertrigger"],
    trigger_id: str,
    trigger_type: str,
    function_id: str,
    config: bytes,
    metadata: bytes | None,
) -> bytes:
    """Build what the provider of a trigger type is told of a trigger that comes or goes.

    Rust SDKs want every member of `registertrigger`; handlers read them in both.
    """
    message: dict[str, Any] = {
        "type": kind,
        "id": trigger_id,
        "trigger_type": trigger_type,
        "function_id": function_id,
        "config": msgspec.Raw(config),
    }
    if metadata is not None:
        message["metadata"] = msgspec.Raw(metadata)
    return encode(message)


def trigger_registration_failed(
    trigger_id: str, trigger_type: str, function_id: str, error: bytes
) -> bytes:
    """Build `triggerregistrationresult` to a trigger's owner; only failures are sent."""
    return encode(
        {
            "type": "triggerregistrationresult",
            "id": trigger_id,
            "trigger_type": trigger_type,
            "function_id": function_id,
            "error": msgspec.Raw(error),
        }
    )


def function_rejected(function_id: str, namespace: str, owner_worker_id: str) -> bytes:
    """Build `registrationrejected` for a function id that cannot be taken.

    Never send another code: SDKs from 0.23 on stop for ever when they see one.
    """
    return encode(
        {
            "type": "registrationrejected",
            "code": "FUNCTION_NAMESPACE_CONFLICT",
            "namespace": namespace,
            "function_id": function_id,
            "owner_worker_id": owner_worker_id,
        }
    )


PONG: Final = encode({"type": "pong"})
