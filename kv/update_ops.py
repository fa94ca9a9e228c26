"""The operations of `state::update`, `stream::update` and `kv_server::update`: pure functions.

What they do to a value is in `json_values`.

Source: modules.md section 4.3 of the iii reference (the column of 0.11.4 and later) and its section
"Observed on running engines"; protocol.md section 8.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from engine.core.errors import DeserializationError
from engine.core.protocol import NULL, encode, is_utf8
from kv.json_values import (
    HIGHEST,
    LOWEST,
    SHOWN_LENGTH,
    Path,
    Skipped,
    Value,
    add,
    appended,
    members_for,
    members_to_merge,
    names_of,
    root_members,
    shown,
    step_into,
)

_EMPTY_OBJECT: Final = b"{}"


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


class Op(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """One operation; `type` on the wire is the class's name in lower case."""

    def _change(self, root: Value) -> Value:
        """Return the value after this operation; objects that are open may be changed in place.

        Raises:
            Skipped: it does not fit the value, which is as it was.
        """
        raise NotImplementedError


class Set(Op, frozen=True):
    """`{path, value}`: put a value at a member, or in place of the whole; none means `null`."""

    path: str
    value: msgspec.Raw = msgspec.Raw(NULL)

    def _change(self, root: Value) -> Value:
        if not self.path:
            return self.value
        members = members_for(self.path, root)
        members[self.path] = self.value
        return members


class Remove(Op, frozen=True):
    """`{path}`: drop a member, which need not exist; without a path the value becomes `null`."""

    path: str

    def _change(self, root: Value) -> Value:
        if not self.path:
            return msgspec.Raw(NULL)
        members = members_for(self.path, root)
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
        return add(root, self.path, self.by)


class Decrement(Op, frozen=True):
    """`{path, by}`: subtract from a number; all else as in `Increment`."""

    path: str
    by: Annotated[int, msgspec.Meta(ge=LOWEST, le=HIGHEST)]

    def _change(self, root: Value) -> Value:
        return add(root, self.path, -self.by)


class Merge(Op, frozen=True):
    """`{path?, value}`: put the members of an object into the one at the path, one level deep.

    What is missing on the path, or is no object, becomes `{}` first; only the root is never
    replaced (`merge.target_not_object`).
    """

    value: msgspec.Raw
    path: Path = None

    def _change(self, root: Value) -> Value:
        names = names_of(self.path)
        added = members_to_merge(self.value)
        target = members = root_members(root)
        for name in names:
            target = step_into(target, name, replace=True)
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
        names = names_of(self.path)
        if not names:
            return appended(root, self.value, "the value")
        target = members = root_members(root)
        for name in names[:-1]:
            target = step_into(target, name, replace=False)
        leaf = names[-1]
        target[leaf] = appended(
            target.get(leaf), self.value, shown(leaf), is_list=not isinstance(self.path, str)
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
        except Skipped as skipped:
            code = f"{type(op).__name__.lower()}.{skipped.reason}"
            errors.append(OpError(index, code, skipped.message))
    return (old if len(errors) == len(ops) else encode(root)), errors
