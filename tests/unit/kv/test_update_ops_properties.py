"""The laws of the update operations, and a comparison with a plain model of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kv.update_ops import OpError, apply_ops, parse_ops

HIGHEST = 2**63 - 1
LOWEST = -(2**63)
REFUSED = frozenset({"__proto__", "constructor", "prototype"})

# Few names, so that operations meet; a refused one and one that is too long among them.
names = st.sampled_from([*"aaabbbnn", "", "a.b", "ü\n", "__proto__", "x" * 257])
numbers = (
    st.sampled_from([0, 1, 1.5, HIGHEST, LOWEST, 10**30])
    | st.integers(LOWEST - 9, HIGHEST + 9)
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.sampled_from([None, True, "", "x", "é"]) | numbers
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(names, values, max_size=4)
paths = st.none() | names | st.lists(names, max_size=3) | st.just(["a"] * 33)
steps = st.sampled_from([1, -1, HIGHEST, LOWEST]) | st.integers(LOWEST, HIGHEST)

operations = st.one_of(
    st.fixed_dictionaries({"type": st.just("set"), "path": names, "value": values}),
    st.fixed_dictionaries({"type": st.just("remove"), "path": names}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["increment", "decrement"]), "path": names, "by": steps}
    ),
    st.fixed_dictionaries({"type": st.just("merge"), "path": paths, "value": objects | values}),
    st.fixed_dictionaries({"type": st.just("append"), "path": paths, "value": scalars | values}),
)
updates = st.lists(operations, min_size=1, max_size=5)
stored: st.SearchStrategy[Any] = st.just({}) | objects | values

# How numbers and the rest may be spelled, where a parser would spell them otherwise.
spellings = st.sampled_from(
    [b"1.0", b"1e5", b"1E+2", b"-0", b"1e999", b"9" * 40, b'"\\u0041\\/"', b"[1,  2 ]", b'{"b": 1}']
)
spelled_members = st.dictionaries(st.sampled_from(["p", "q", "r", "s t", "ü"]), spellings)


def spelled(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def spelled_object(members: dict[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (spelled(name), text) for name, text in members.items())


def update(old: bytes | None, ops: list[dict[str, Any]]) -> tuple[bytes, list[OpError]]:
    return apply_ops(old, parse_ops(spelled(ops)))


class Refusal(Exception):
    """An operation of the model is skipped."""


MISSING: Any = object()


def model(old: Any, ops: list[dict[str, Any]]) -> tuple[Any, list[tuple[int, str]]]:
    """Do on plain objects what the operations say."""
    errors = []
    for index, op in enumerate(ops):
        path = op.get("path")
        segments = [path] if isinstance(path, str) and path else list(path or [])
        try:
            check(op, segments)
            old = changed(old, segments, op, is_root=True)
        except Refusal as refusal:
            errors.append((index, f"{op['type']}.{refusal}"))
    return old, errors


def check(op: dict[str, Any], segments: list[str]) -> None:
    if len(segments) > 32:
        raise Refusal("path.too_deep")
    for segment in segments:
        if segment in REFUSED:
            raise Refusal("path.proto_polluted")
        if len(segment.encode()) > 256:
            raise Refusal("path.segment_too_long")
    if op["type"] == "merge":
        if not isinstance(op["value"], dict):
            raise Refusal("value.not_an_object")
        if not REFUSED.isdisjoint(op["value"]):
            raise Refusal("value.proto_polluted")


def changed(value: Any, segments: list[str], op: dict[str, Any], *, is_root: bool) -> Any:
    """Return a value after the operation at the path below it."""
    if is_root and (segments or op["type"] == "merge") and not isinstance(value, dict):
        raise Refusal("target_not_object")
    if not segments:
        return LEAVES[op["type"]](value, op, is_root)
    if not isinstance(value, dict):
        if op["type"] == "append" and value is not None and value is not MISSING:
            raise Refusal("type_mismatch")
        value = {}
    name, *rest = segments
    after = {**value, name: changed(value.get(name, MISSING), rest, op, is_root=False)}
    return {key: member for key, member in after.items() if member is not MISSING}


def removed(value: Any, op: dict[str, Any], is_root: bool) -> Any:
    return None if is_root else MISSING


def added(value: Any, op: dict[str, Any], is_root: bool) -> Any:
    value = 0 if value is MISSING else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("not_number")
    total = value + op["by"] if op["type"] == "increment" else value - op["by"]
    if isinstance(total, int) and not LOWEST <= total <= HIGHEST:
        raise Refusal("overflow")
    return total


def merged(value: Any, op: dict[str, Any], is_root: bool) -> Any:
    return {**value, **op["value"]} if isinstance(value, dict) else op["value"]


def appended(value: Any, op: dict[str, Any], is_root: bool) -> Any:
    new = op["value"]
    if isinstance(value, list):
        return [*value, new]
    if isinstance(value, str) and isinstance(new, str):
        return value + new
    if value is not None and value is not MISSING:
        raise Refusal("type_mismatch")
    keeps_text = is_root or isinstance(op["path"], str)
    return new if keeps_text and isinstance(new, str) else [new]


LEAVES: dict[str, Callable[[Any, dict[str, Any], bool], Any]] = {
    "set": lambda value, op, is_root: op["value"],
    "remove": removed,
    "increment": added,
    "decrement": added,
    "merge": merged,
    "append": appended,
}


@settings(max_examples=400)
@given(stored, updates)
def test_operations_do_what_the_plain_model_does(old: Any, ops: list[dict[str, Any]]) -> None:
    new, errors = update(spelled(old), ops)

    wanted, wanted_errors = model(old, ops)
    assert spelled(json.loads(new)) == spelled(wanted)
    assert [(error.op_index, error.code) for error in errors] == wanted_errors


@given(updates)
def test_a_missing_key_is_an_empty_object_for_all_operations(ops: list[dict[str, Any]]) -> None:
    assert update(None, ops) == update(b"{}", ops)


@given(stored, updates)
def test_the_same_operations_on_the_same_value_give_the_same(
    old: Any, ops: list[dict[str, Any]]
) -> None:
    text, parsed = spelled(old), parse_ops(spelled(ops))

    assert apply_ops(text, parsed) == apply_ops(text, parsed)


@given(stored, updates)
def test_operations_one_by_one_give_what_they_give_together(
    old: Any, ops: list[dict[str, Any]]
) -> None:
    text = spelled(old)
    errors = []
    for index, op in enumerate(ops):
        text, found = update(text, [op])
        errors += [OpError(index, error.code, error.message) for error in found]

    assert (text, errors) == update(spelled(old), ops)


@given(stored, updates)
def test_spaces_in_the_stored_text_change_nothing(old: Any, ops: list[dict[str, Any]]) -> None:
    spaced = b" \n%b\t" % json.dumps(old, indent=1).encode()

    new, errors = update(spaced, ops)

    wanted, wanted_errors = update(spelled(old), ops)
    assert spelled(json.loads(new)) == spelled(json.loads(wanted))
    assert errors == wanted_errors


@given(spelled_members, spelled_members, st.integers(-9, 9))
def test_members_that_are_not_touched_keep_their_bytes(
    before: dict[str, bytes], after: dict[str, bytes], value: int
) -> None:
    def whole(text: bytes) -> bytes:
        ahead = {f"1{name}": each for name, each in before.items()}
        behind = {f"2{name}": each for name, each in after.items()}
        return spelled_object({**ahead, "n": text, **behind})

    new: tuple[bytes, list[OpError]] = (whole(b"%d" % value), [])
    assert update(whole(b'["old"]'), [{"type": "set", "path": "n", "value": value}]) == new
    assert update(whole(b'["old"]'), [{"type": "merge", "value": {"n": value}}]) == new
    assert update(whole(b"0"), [{"type": "increment", "path": "n", "by": value}]) == new


@given(spelled_members, values)
def test_set_then_remove_gives_back_the_others(others: dict[str, bytes], value: Any) -> None:
    old = spelled_object(others)
    ops = [{"type": "set", "path": "new", "value": value}, {"type": "remove", "path": "new"}]

    assert update(old, ops) == (old, [])


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1), st.integers(0, 3))
def test_increments_in_one_call_and_in_many_add_up(steps: list[int], start: int) -> None:
    ops = [{"type": "increment", "path": "n", "by": step} for step in steps]
    summed: tuple[bytes, list[OpError]] = (b'{"n":%d}' % (start + sum(steps)), [])

    text = b'{"n":%d}' % start
    for op in ops:
        text, _ = update(text, [op])

    assert (text, []) == summed
    assert update(b'{"n":%d}' % start, ops) == summed


@given(st.integers(LOWEST, HIGHEST), st.integers(LOWEST, HIGHEST))
def test_a_decrement_takes_back_an_increment_of_the_same_size(start: int, by: int) -> None:
    old = b'{"n":%d}' % start

    once, errors = update(old, [{"type": "increment", "path": "n", "by": by}])

    if not errors:
        assert update(once, [{"type": "decrement", "path": "n", "by": by}]) == (old, [])
    else:
        assert once == old


@given(st.binary(max_size=20), updates)
def test_any_bytes_can_be_stored_without_raising(old: bytes, ops: list[dict[str, Any]]) -> None:
    update(old, ops)
