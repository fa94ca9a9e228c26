"""How built-in functions read their payloads and write their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from engine.core.errors import DeserializationError

if TYPE_CHECKING:
    from engine.core.functions import Call

T = TypeVar("T", bound=msgspec.Struct)

_EMPTY = frozenset({b"null", b"[]", b""})


def read_payload(call: Call, shape: type[T]) -> T:
    """Decode a payload into the struct that a built-in function expects.

    Unknown members are ignored. `null`, nothing and `[]` mean `{}`; an array is read as the
    members in their order.

    Raises:
        DeserializationError: a required member is missing or of the wrong type; the message
            names the function and the member.
    """
    data = b"{}" if call.data.strip() in _EMPTY else call.data
    try:
        if data.lstrip()[:1] == b"[":
            return _read_positional(data, shape)
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DeserializationError(f"{call.function_id}: {error}") from error


def _read_positional(data: bytes, shape: type[T]) -> T:
    values: list[msgspec.Raw] = msgspec.json.decode(data, type=list[msgspec.Raw])
    names = [field.encode_name for field in msgspec.structs.fields(shape)]
    members = dict(zip(names, values, strict=False))
    return msgspec.json.decode(msgspec.json.encode(members), type=shape)


def reader(shape: type[T]) -> Callable[[Call], T]:
    """Return a function that reads the payload of a call, see `read_payload`, with less ado."""
    decode = msgspec.json.Decoder(shape).decode

    def read(call: Call) -> T:
        try:
            return decode(call.data)
        except (msgspec.DecodeError, RecursionError):
            return read_payload(call, shape)

    return read


def bad(call: Call, problem: str) -> DeserializationError:
    """Return the error of a payload that says something impossible."""
    return DeserializationError(f"{call.function_id}: {problem}")


def raw_or_none(text: bytes | None) -> msgspec.Raw | None:
    """Return JSON text for pasting into a result, None (`null`) where there is none."""
    return msgspec.Raw(text) if text else None


def metadata_member(metadata: bytes, name: str) -> Any:
    """Return one member of a metadata object, None if it has none or is no object."""
    if not metadata:
        return None
    value = msgspec.json.decode(metadata)
    return value.get(name) if isinstance(value, dict) else None
