"""The operations of `state::update`, `stream::update` and `kv_server::update`: pure functions.

A value stays JSON text. Only the objects on an operation's path are opened, one level each, and
only the member it names is read: all others are pasted back byte for byte, so `1.0`, `1e5` and
integers of any size stay as they were written, and a big value costs little more than finding
its members.

Source: modules.md section 4.3 of the iii reference (the column of 0.11.4 and later) and its section
"Observed on running engines"; protocol.md section 8.5.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias, cast

import msgspec

from engine.core.errors import DeserializationError
from engine.core.protocol import is_utf8

MAX_PATH_DEPTH: Final = 32
"""How many members a path may name."""

MAX_SEGMENT_BYTES: Final = 256
"""How long a name in a path may be, in bytes of UTF-8."""

MAX_MERGE_DEPTH: Final = 16
"""How many objects and arrays may stand inside each other in what `merge` adds, itself counted."""

MAX_MERGE_MEMBERS: Final = 1024
"""How many members `merge` may add at once."""

LOWEST: Final = -(2**63)
HIGHEST: Final = 2**63 - 1

REFUSED_NAMES: Final = frozenset({"__proto__", "constructor", "prototype"})
"""No path and no merge may name these: in JavaScript they reach the classes of all objects."""

Members: TypeAlias = "dict[str, Value]"
Value: TypeAlias = "msgspec.Raw | Members"
"""JSON text, or an object that an operation has opened."""

Path: TypeAlias = str | tuple[str, ...] | None
"""One literal name, or names from the root down; None, an empty one or none at all is the root."""

SHOWN_LENGTH: Final = 200
"""How much of a text from outside an error shows, in characters."""

_EMPTY_OBJECT: Final = b"{}"
_NULL: Final = b"null"
_KINDS: Final = {
    b"{": "an object",
    b"[": "an array",
    b'"': "a string",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}
_FLOAT_MARKS: Final = frozenset(b".eE")
_NUMBER_START: Final = re.compile(rb"-?[0-9]")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_BRACKET: Final = re.compile(rb"[][{}]")

_open: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text: Final = msgspec.json.encode


class InvalidOps(DeserializationError):
    """An update has operations that cannot be read; the message names the index and the field."""


class OpError(msgspec.Struct, frozen=True):
    """Why one operation of an update was skipped.

    Attributes:
        op_index: its place in `ops`, from 0.
        code: `<type>.<reason>`, one of
            `<type>.path.too_deep`, `<type>.path.segment_too_long`, `<type>.path.proto_polluted`,
            `<type>.target_not_object`, `<type>.target_unreadable`,
            `merge.value.not_an_object`, `merge.value.too_deep`, `merge.value.too_many_keys`,
            `merge.value.proto_polluted`, `append.type_mismatch`,
            `increment.not_number`, `increment.overflow` and the same two of `decrement`.
        message: the reason in words.
    """

    op_index: int
    code: str
    message: str


class _Skipped(Exception):
    """An operation cannot be applied; it has changed nothing."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Op(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """One operation; `type` on the wire is the class's name in lower case."""

    def _change(self, root: Value) -> Value:
        """Return the value after this operation; objects that are open may be changed in place.

        Raises:
            _Skipped: it does not fit the value, which is as it was.
        """
        raise NotImplementedError


class Set(Op, frozen=True):
    """`{path, value}`: put a value at a member, or in place of the whole; none means `null`."""

    path: str
    value: msgspec.Raw = msgspec.Raw(_NULL)

    def _change(self, root: Value) -> Value:
        if not self.path:
            return self.value
        members = _members_for(self.path, root)
        members[self.path] = self.value
        return members


class Remove(Op, frozen=True):
    """`{path}`: drop a member, which need not exist; without a path the value becomes `null`."""

    path: str

    def _change(self, root: Value) -> Value:
        if not self.path:
            return msgspec.Raw(_NULL)
        members = _members_for(self.path, root)
        members.pop(self.path, None)
        return members


class Increment(Op, frozen=True):
    """`{path, by}`: add to a number, which may be a float; a missing member counts as 0.

    `by` itself is an integer of 64 bits: the seed era took no other, and its SDKs rely on
    `deserialization_error` for `1.5`. An integer that would leave 64 bits, and a float that would
    become infinite, stay as they are (`increment.overflow`).
    """

    path: str
    by: Annotated[int, msgspec.Meta(ge=LOWEST, le=HIGHEST)]

    def _change(self, root: Value) -> Value:
        return _add(root, self.path, self.by)


class Decrement(Op, frozen=True):
    """`{path, by}`: subtract from a number; all else as in `Increment`."""

    path: str
    by: Annotated[int, msgspec.Meta(ge=LOWEST, le=HIGHEST)]

    def _change(self, root: Value) -> Value:
        return _add(root, self.path, -self.by)


class Merge(Op, frozen=True):
    """`{path?, value}`: put the members of an object into the one at the path, one level deep.

    What is missing on the path, or is no object, becomes `{}` first; only the root is never
    replaced (`merge.target_not_object`).
    """

    value: msgspec.Raw
    path: Path = None

    def _change(self, root: Value) -> Value:
        names = _names(self.path)
        added = _members_to_merge(self.value)
        target = members = _root_members(root)
        for name in names:
            target = _step_into(target, name, replace=True)
        target.update(added)
        return members


class Append(Op, frozen=True):
    """`{path?, value}`: add an element to an array, or text to a string.

    Where nothing or `null` is, a string stays a string and anything else becomes `[value]`; at the
    end of an array path, of one name too, it is always `[value]`. Missing steps become `{}`.
    """

    value: msgspec.Raw
    path: Path = None

    def _change(self, root: Value) -> Value:
        names = _names(self.path)
        if not names:
            return _appended(root, self.value, "the value")
        target = members = _root_members(root)
        for name in names[:-1]:
            target = _step_into(target, name, replace=False)
        leaf = names[-1]
        target[leaf] = _appended(
            target.get(leaf), self.value, _shown(leaf), is_list=not isinstance(self.path, str)
        )
        return members


_TYPES: Final = "append, decrement, increment, merge, remove, set"
_decode_ops: Final = msgspec.json.Decoder(
    tuple[Append | Decrement | Increment | Merge | Remove | Set, ...]
).decode


def parse_ops(raw: bytes | msgspec.Raw) -> tuple[Op, ...]:
    """Parse the `ops` of an update: a JSON array of operations, unknown members ignored.

    `by` has to be an integer, although a float member may be incremented by one (see `Increment`).
    A `set` without `value` sets `null`, as it did in the seed era: that is what is left of a value
    that JavaScript has as `undefined`.

    Raises:
        InvalidOps: an unknown `type`, a `path` or `value` that is missing, a member of the wrong
            type (`deserialization_error`); nothing of the update may be applied then.
    """
    if not is_utf8(bytes(raw)):
        raise InvalidOps("ops: not UTF-8")
    try:
        return _decode_ops(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidOps(_explain(str(error))) from error


def _explain(message: str) -> str:
    # "Expected `int`, got `float` - at `$[1].by`" becomes "ops[1].by: expected `int`, …".
    what, found, place = message.rpartition(" - at `$")
    if not found:
        what, place = place, ""
    what = f"{what[:1].lower()}{what[1:SHOWN_LENGTH]}"
    place = place.removesuffix("`")
    hint = f"; the types are {_TYPES}" if place.endswith(".type") else ""
    return f"ops{place}: {what}{hint}"


def apply_ops(old: bytes | None, ops: Sequence[Op]) -> tuple[bytes, list[OpError]]:
    """Apply operations in their order; one that does not fit is skipped, the others count.

    Members keep their places, new ones go last. Nothing that is stored makes this raise.

    Args:
        old: the stored JSON text; None for a missing key, which starts as `{}`.
        ops: from `parse_ops`.

    Returns:
        The new JSON text, which is the old one if no operation was applied, and an error for
        each operation that was skipped.
    """
    if old is None:
        old = _EMPTY_OBJECT
    root: Value = msgspec.Raw(old.strip())
    errors: list[OpError] = []
    for index, op in enumerate(ops):
        try:
            root = op._change(root)
        except _Skipped as skipped:
            code = f"{type(op).__name__.lower()}.{skipped.reason}"
            errors.append(OpError(index, code, skipped.message))
    return (old if len(errors) == len(ops) else _text(root)), errors


def _members_for(name: str, root: Value) -> Members:
    _check_name(name)
    return _root_members(root)


def _root_members(root: Value) -> Members:
    members = _members(root)
    if members is None:
        message = f"the value is {_kind(_text(root))}, not an object, so it has no members"
        raise _Skipped("target_not_object", message)
    return members


def _members(value: Value) -> Members | None:
    """Open an object; None if the value is something else."""
    if isinstance(value, dict):
        return value
    try:
        return cast("Members", _open(value))
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Nested some 900 levels deep, which can be stored and passed on, but not be searched.
        raise _Skipped("target_unreadable", f"the value cannot be opened: {error}") from error


def _step_into(members: Members, name: str, *, replace: bool) -> Members:
    """Open the object at a name, or put one there: in place of anything, or of nothing only."""
    found = members.get(name)
    inner = None if found is None else _members(found)
    if inner is None:
        text = _NULL if found is None else _text(found)
        if text != _NULL and not replace:
            raise _Skipped("type_mismatch", f"{_shown(name)} is {_kind(text)}, not an object")
        inner = {}
    members[name] = inner
    return inner


def _names(path: Path) -> tuple[str, ...]:
    if not path:
        return ()
    names = (path,) if isinstance(path, str) else path
    _check_path(names)
    return names


def _check_path(names: tuple[str, ...]) -> None:
    if len(names) > MAX_PATH_DEPTH:
        message = f"the path has {len(names)} names, at most {MAX_PATH_DEPTH} are allowed"
        raise _Skipped("path.too_deep", message)
    for name in names:
        _check_name(name)


def _check_name(name: str) -> None:
    if name in REFUSED_NAMES:
        raise _Skipped("path.proto_polluted", f"the name {_shown(name)} is refused")
    if len(name) > MAX_SEGMENT_BYTES // 4 and len(name.encode()) > MAX_SEGMENT_BYTES:
        message = f"{_shown(name)} is longer than {MAX_SEGMENT_BYTES} bytes"
        raise _Skipped("path.segment_too_long", message)


def _members_to_merge(value: msgspec.Raw) -> dict[str, msgspec.Raw]:
    text = bytes(value)
    if text[:1] != b"{":
        raise _Skipped("value.not_an_object", f"`value` is {_kind(text)}, not an object")
    if _is_deeper(text, MAX_MERGE_DEPTH):
        message = f"`value` is nested more than {MAX_MERGE_DEPTH} levels deep"
        raise _Skipped("value.too_deep", message)
    members = _open(value)
    if len(members) > MAX_MERGE_MEMBERS:
        message = f"`value` has {len(members)} members, at most {MAX_MERGE_MEMBERS} are allowed"
        raise _Skipped("value.too_many_keys", message)
    refused = next((name for name in members if name in REFUSED_NAMES), None)
    if refused is not None:
        raise _Skipped("value.proto_polluted", f"the name {_shown(refused)} is refused")
    return members


def _is_deeper(text: bytes, limit: int) -> bool:
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    brackets = _BRACKET.findall(_STRING.sub(b"", text))
    steps = (1 if bracket in b"{[" else -1 for bracket in brackets)
    return max(itertools.accumulate(steps)) > limit


def _add(root: Value, path: str, by: int) -> Value:
    if not path:
        return _sum(root, by, "the value")
    members = _members_for(path, root)
    found = members.get(path)
    members[path] = _sum(msgspec.Raw(b"0") if found is None else found, by, _shown(path))
    return members


def _sum(value: Value, by: int, what: str) -> msgspec.Raw:
    text = _text(value)
    if text.isdigit() and len(text) < 18:  # nearly always: far from every limit
        total: int | float = int(text) + by
    elif _NUMBER_START.match(text):
        total = _number(text) + by
    else:
        raise _Skipped("not_number", f"{what} is {_kind(text)}, not a number")
    if isinstance(total, int):
        if LOWEST <= total <= HIGHEST:
            return msgspec.Raw(b"%d" % total)
    elif math.isfinite(total):
        return msgspec.Raw(_text(total))
    raise _Skipped("overflow", f"{what} would leave the range of 64-bit numbers")


def _number(text: bytes) -> int | float:
    try:
        return int(text) if _FLOAT_MARKS.isdisjoint(text) else float(text)
    except ValueError:
        # Python reads no integer of thousands of digits; it is far beyond 64 bits anyway.
        return math.inf


def _appended(
    found: Value | None, value: msgspec.Raw, what: str, *, is_list: bool = False
) -> msgspec.Raw:
    """Return what was found with a value added: texts are joined, their insides are not read."""
    old = _NULL if found is None else _text(found)
    new = bytes(value)
    if old == _NULL:
        is_text = new[:1] == b'"' and not is_list
        return value if is_text else msgspec.Raw(b"[%b]" % new)
    if old[:1] == b"[":
        elements = old[1:-1].strip()
        return msgspec.Raw(b"[%b,%b]" % (elements, new) if elements else b"[%b]" % new)
    if old[:1] == new[:1] == b'"':
        return msgspec.Raw(old[:-1] + new[1:])
    message = f"{what} is {_kind(old)}, to which {_kind(new)} cannot be appended"
    raise _Skipped("type_mismatch", message)


def _kind(text: bytes) -> str:
    return _KINDS.get(text[:1], "a number")


def _shown(name: str) -> str:
    return f"`{name[:SHOWN_LENGTH]}`"
