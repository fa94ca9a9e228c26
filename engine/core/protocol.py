"""The messages of the worker protocol: what workers send, and the errors of calls; no I/O.

What the engine sends is in `outgoing`. Payloads (`data`, `result`, `error`, `config`, `metadata`,
formats) stay raw JSON text: what only passes through is checked for syntax while it is skipped,
never parsed, and leaves byte for byte as it came.

Source: protocol.md sections 1 and 2 of the iii protocol; field names are the wire's own.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

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
