"""JSON values as update operations see them: text, of which only what is needed is opened.

Only the objects on an operation's path are opened, one level each, and only the member it names is
read: all others are pasted back byte for byte, so `1.0`, `1e5` and integers of any size stay as
they were written, and a big value costs little more than finding its members.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Final, TypeAlias, cast

import msgspec

from engine.core.protocol import NULL, encode

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


class Skipped(Exception):
    """An operation cannot be applied; it has changed nothing."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def members_for(name: str, root: Value) -> Members:
    """Open the object at the root to read or put a member of this name."""
    _check_name(name)
    return root_members(root)


def root_members(root: Value) -> Members:
    """Open the object at the root.

    Raises:
        Skipped: the value is something else.
    """
    members = _members(root)
    if members is None:
        message = f"the value is {_kind(encode(root))}, not an object, so it has no members"
        raise Skipped("target_not_object", message)
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
        raise Skipped("target_unreadable", f"the value cannot be opened: {error}") from error


def step_into(members: Members, name: str, *, replace: bool) -> Members:
    """Open the object at a name, or put one there: in place of anything, or of nothing only."""
    found = members.get(name)
    inner = None if found is None else _members(found)
    if inner is None:
        text = NULL if found is None else encode(found)
        if text != NULL and not replace:
            raise Skipped("type_mismatch", f"{shown(name)} is {_kind(text)}, not an object")
        inner = {}
    members[name] = inner
    return inner


def names_of(path: Path) -> tuple[str, ...]:
    """Return the names of a path that may be followed, none for the root."""
    if not path:
        return ()
    names = (path,) if isinstance(path, str) else path
    _check_path(names)
    return names


def _check_path(names: tuple[str, ...]) -> None:
    if len(names) > MAX_PATH_DEPTH:
        message = f"the path has {len(names)} names, at most {MAX_PATH_DEPTH} are allowed"
        raise Skipped("path.too_deep", message)
    for name in names:
        _check_name(name)


def _check_name(name: str) -> None:
    if name in REFUSED_NAMES:
        raise Skipped("path.proto_polluted", f"the name {shown(name)} is refused")
    if len(name) > MAX_SEGMENT_BYTES // 4 and len(name.encode()) > MAX_SEGMENT_BYTES:
        message = f"{shown(name)} is longer than {MAX_SEGMENT_BYTES} bytes"
        raise Skipped("path.segment_too_long", message)


def members_to_merge(value: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Open what `merge` adds.

    Raises:
        Skipped: it is no object, or too much of one.
    """
    text = bytes(value)
    if text[:1] != b"{":
        raise Skipped("value.not_an_object", f"`value` is {_kind(text)}, not an object")
    if _is_deeper(text, MAX_MERGE_DEPTH):
        message = f"`value` is nested more than {MAX_MERGE_DEPTH} levels deep"
        raise Skipped("value.too_deep", message)
    members = _open(value)
    if len(members) > MAX_MERGE_MEMBERS:
        message = f"`value` has {len(members)} members, at most {MAX_MERGE_MEMBERS} are allowed"
        raise Skipped("value.too_many_keys", message)
    refused = next((name for name in members if name in REFUSED_NAMES), None)
    if refused is not None:
        raise Skipped("value.proto_polluted", f"the name {shown(refused)} is refused")
    return members


def _is_deeper(text: bytes, limit: int) -> bool:
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    brackets = _BRACKET.findall(_STRING.sub(b"", text))
    steps = (1 if bracket in b"{[" else -1 for bracket in brackets)
    return max(itertools.accumulate(steps)) > limit


def add(root: Value, path: str, by: int) -> Value:
    """Add to the number at a member, or at the root; a missing member counts as 0."""
    if not path:
        return _sum(root, by, "the value")
    members = members_for(path, root)
    found = members.get(path)
    members[path] = _sum(msgspec.Raw(b"0") if found is None else found, by, shown(path))
    return members


def _sum(value: Value, by: int, what: str) -> msgspec.Raw:
    text = encode(value)
    if text.isdigit() and len(text) < 18:  # nearly always: far from every limit
        total: int | float = int(text) + by
    elif _NUMBER_START.match(text):
        total = _number(text) + by
    else:
        raise Skipped("not_number", f"{what} is {_kind(text)}, not a number")
    if isinstance(total, int):
        if LOWEST <= total <= HIGHEST:
            return msgspec.Raw(b"%d" % total)
    elif math.isfinite(total):
        return msgspec.Raw(encode(total))
    raise Skipped("overflow", f"{what} would leave the range of 64-bit numbers")


def _number(text: bytes) -> int | float:
    try:
        return int(text) if _FLOAT_MARKS.isdisjoint(text) else float(text)
    except ValueError:
        # Python reads no integer of thousands of digits; it is far beyond 64 bits anyway.
        return math.inf


def appended(
    found: Value | None, value: msgspec.Raw, what: str, *, is_list: bool = False
) -> msgspec.Raw:
    """Return what was found with a value added: texts are joined, their insides are not read."""
    old = NULL if found is None else encode(found)
    new = bytes(value)
    if old == NULL:
        is_text = new[:1] == b'"' and not is_list
        return value if is_text else msgspec.Raw(b"[%b]" % new)
    if old[:1] == b"[":
        elements = old[1:-1].strip()
        return msgspec.Raw(b"[%b,%b]" % (elements, new) if elements else b"[%b]" % new)
    if old[:1] == new[:1] == b'"':
        return msgspec.Raw(old[:-1] + new[1:])
    message = f"{what} is {_kind(old)}, to which {_kind(new)} cannot be appended"
    raise Skipped("type_mismatch", message)


def _kind(text: bytes) -> str:
    return _KINDS.get(text[:1], "a number")


def shown(name: str) -> str:
    """Return a name from outside as errors show it."""
    return f"`{name[:SHOWN_LENGTH]}`"
