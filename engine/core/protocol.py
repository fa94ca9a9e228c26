"""The messages of the worker protocol: decode what workers send, encode what the engine sends.

No I/O here. Payloads (`data`, `result`, `error`, `config`, `metadata`, formats) stay raw JSON
text: what only passes through is checked for syntax while it is skipped, never parsed, and leaves
byte for byte as it came.

Source: protocol.md sections 1 and 2 of the iii protocol; field names are the wire's own.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import msgspec

NOTHING: Final = msgspec.Raw(b"")
"""The value of a raw member that the frame does not have (a `null` is the four bytes)."""

NULL: Final = b"null"
DEFAULT_NAMESPACE: Final = "default"

# The prefixes of binary telemetry frames (spans, metrics, log records as OTLP JSON).
TELEMETRY_PREFIXES: Final = (b"OTLP", b"MTRC", b"LOGS")


class Frame(msgspec.Struct, gc=False):
    """Any message of a worker, as far as calls and their results need it.

    One struct for all types, not a tagged union: SDKs that write `type` last would make a union
    scan the payload twice.
    """

    type: str = ""
    invocation_id: str | None = None
    function_id: str | None = None
    data: msgspec.Raw = NOTHING
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    traceparent: str | None = None
    baggage: str | None = None
    action: msgspec.Raw = NOTHING
    metadata: msgspec.Raw = NOTHING
    namespace: str | None = None
    function_path: str | None = None


class Action(msgspec.Struct):
    """What a caller wants done with a call instead of waiting: `enqueue` or `void`."""

    type: str = ""
    queue: str | None = None


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """The error of a call: `{code, message, stacktrace?}`, all strings."""

    code: str
    message: str
    stacktrace: str | msgspec.UnsetType = msgspec.UNSET


class RegisterFunction(msgspec.Struct):
    """`registerfunction`: a worker offers a function; formats and metadata are opaque JSON."""

    id: str | None = None
    function_path: str | None = None
    function_id: str | None = None
    description: str | None = None
    request_format: msgspec.Raw = NOTHING
    response_format: msgspec.Raw = NOTHING
    metadata: msgspec.Raw = NOTHING
    invocation: msgspec.Raw = NOTHING


class UnregisterFunction(msgspec.Struct):
    """`unregisterfunction`: its owner takes a function back."""

    id: str | None = None
    function_path: str | None = None
    function_id: str | None = None


class RegisterService(msgspec.Struct):
    """`registerservice`: a name for people; nothing depends on it."""

    id: str
    name: str | None = None
    description: str | None = None
    parent_service_id: str | None = None


class RegisterTriggerType(msgspec.Struct):
    """`registertriggertype`: a worker provides a trigger type."""

    id: str
    description: str | None = None
    trigger_request_format: msgspec.Raw = NOTHING
    call_request_format: msgspec.Raw = NOTHING
    namespace: str | None = None


class UnregisterTriggerType(msgspec.Struct):
    """`unregistertriggertype`: the provider of a trigger type withdraws it."""

    id: str
    namespace: str | None = None


class RegisterTrigger(msgspec.Struct):
    """`registertrigger`: bind a function to a trigger type with a config of the type's own."""

    id: str
    trigger_type: str
    function_id: str | None = None
    function_path: str | None = None
    config: msgspec.Raw = NOTHING
    metadata: msgspec.Raw = NOTHING
    namespace: str | None = None
    trigger_namespace: str | None = None


class UnregisterTrigger(msgspec.Struct):
    """`unregistertrigger`: by id alone; a `trigger_type` beside it is ignored."""

    id: str


class TriggerRegistrationResult(msgspec.Struct):
    """`triggerregistrationresult`: a provider's answer to a trigger that it was handed."""

    id: str
    error: msgspec.Raw = NOTHING


class Reattach(msgspec.Struct):
    """`reattach`: a reconnecting worker says which of its connections is dead."""

    previous_worker_id: str
    reattach_token: str


class Malformed(msgspec.Struct):
    """What could be read of a frame that is no valid message."""

    type: str = ""
    invocation_id: str | None = None
    function_id: str = ""


decode_frame = msgspec.json.Decoder(Frame).decode
decode_action = msgspec.json.Decoder(Action).decode
decode_error = msgspec.json.Decoder(ErrorBody).decode

encode: Final = msgspec.json.Encoder().encode
"""Any plain value as compact JSON bytes; a `Raw` inside is pasted as it is."""

STRICT_DEPTH: Final = 120
STRICT_CHECK_UP_TO: Final = 64 * 1024

STRICT_REASON: Final = f"a number beyond a double or over {STRICT_DEPTH} levels of nesting"

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKET = re.compile(rb"[^\[\]{}]+")
_INNERMOST = re.compile(rb"\[\]|\{\}")
_EXTREME_NUMBER = re.compile(rb"\d[eE]\+?\d{3}|\d{309}")

_MEMBER = re.compile(rb'"(type|invocation_id|function_id|function_path)"\s*:\s*"((?:[^"\\]|\\.)*)"')


def is_utf8(payload: bytes) -> bool:
    """Tell whether bytes are UTF-8; msgspec skips raw parts without looking."""
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def fits_strict_reader(payload: bytes | msgspec.Raw) -> bool:
    """Tell whether a JSON reader as strict as Rust's takes a payload.

    It refuses numbers beyond a double and more than STRICT_DEPTH levels, and Rust workers drop
    the whole frame then: nobody would answer. Payloads over STRICT_CHECK_UP_TO bytes are not
    looked at, since that would cost more than the call.
    """
    if len(payload) > STRICT_CHECK_UP_TO:
        return True
    text = bytes(payload)
    if _EXTREME_NUMBER.search(text):
        structure = _STRING.sub(b"", text)
        if _EXTREME_NUMBER.search(structure):
            return False
    if text.count(b"[") + text.count(b"{") <= STRICT_DEPTH:
        return True
    brackets = _NO_BRACKET.sub(b"", _STRING.sub(b"", text))
    for _ in range(STRICT_DEPTH):
        brackets = _INNERMOST.sub(b"", brackets)
    return not brackets


def salvage(payload: bytes) -> Malformed:
    """Read type and ids of a frame that did not decode, as far as they can be found.

    Real workers send such frames: older Python SDKs write `NaN`, and lone surrogates exist.
    Whoever waits for the call can then be told.
    """
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return _salvage_by_pattern(payload)
    if not isinstance(document, dict):
        return Malformed()
    return _malformed(document)


def _salvage_by_pattern(payload: bytes) -> Malformed:
    # The first match of a name wins: SDKs write the members before the payload or after it, and
    # a payload that repeats these very names is rarer than one that is broken.
    found: dict[str, Any] = {}
    for name, value in _MEMBER.findall(payload):
        found.setdefault(name.decode(), value.decode(errors="replace"))
    return _malformed(found)


def _malformed(members: dict[str, Any]) -> Malformed:
    def text(name: str) -> str | None:
        value = members.get(name)
        return value if isinstance(value, str) and value.isprintable() else None

    return Malformed(
        type=text("type") or "",
        invocation_id=text("invocation_id"),
        function_id=text("function_id") or text("function_path") or "",
    )


def normal_error(raw: bytes) -> bytes:
    """Return an error as every SDK reads it: an object of strings, no null `stacktrace`.

    A well-formed one is returned unchanged; anything else becomes `invocation_failed` with its
    JSON text as message.
    """
    try:
        body = decode_error(raw)
    except msgspec.DecodeError:
        return _repaired_error(raw)
    if body.stacktrace is msgspec.UNSET and b"stacktrace" in raw:
        return encode(body)
    return raw


def _repaired_error(raw: bytes) -> bytes:
    value = msgspec.json.decode(raw)
    if isinstance(value, dict):
        code, message = value.get("code"), value.get("message")
        if isinstance(code, str) and isinstance(message, str):  # only the stacktrace is odd
            return encode(ErrorBody(code, message))
    return encode_error("invocation_failed", raw.decode(errors="replace"))


def encode_error(code: str, message: str, stacktrace: str | None = None) -> bytes:
    """Build an error body: `{"code":…,"message":…}`, with a stacktrace only if there is one."""
    return encode(ErrorBody(code, message, msgspec.UNSET if stacktrace is None else stacktrace))


def random_uuid() -> str:
    """Return a random UUID, at a third of the cost of `str(uuid4())`."""
    digits = secrets.token_hex(15)
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


# --- what the engine sends --------------------------------------------------------------------


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
