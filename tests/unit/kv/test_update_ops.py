"""The update operations, by tables: stored text and operations in, new text and errors out."""

from __future__ import annotations

import msgspec
import pytest

from engine.core.errors import EngineError
from kv.update_ops import InvalidOps, OpError, apply_ops, parse_ops

BIG = "123456789012345678901234567890"
HIGHEST = 2**63 - 1
LOWEST = -(2**63)


def update(old: str | None, ops: str) -> tuple[str, list[str]]:
    """Apply operations and return the new text and the codes of the errors."""
    new, errors = apply_ops(None if old is None else old.encode(), parse_ops(ops.encode()))
    return new.decode(), [error.code for error in errors]


def op(kind: str, path: str, more: str = "") -> str:
    """Spell one operation as `ops`, with a path that is JSON text already."""
    return f'[{{"type":"{kind}","path":{path}{more}}}]'


def nested(levels: int) -> str:
    return '{"x":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("old", "ops", "new"),
    [
        (None, '[{"type":"set","path":"a","value":1}]', '{"a":1}'),
        ("{}", '[{"type":"set","path":"a","value":[1, 2]}]', '{"a":[1, 2]}'),
        ('{"a":1,"b":2,"c":3}', '[{"type":"set","path":"b","value":0}]', '{"a":1,"b":0,"c":3}'),
        ('{"a":1}', '[{"type":"set","path":"b","value":null}]', '{"a":1,"b":null}'),
        ('{"a":1}', '[{"type":"set","path":"a"}]', '{"a":null}'),
        ('{"a":{"b":1}}', '[{"type":"set","path":"a.b","value":2}]', '{"a":{"b":1},"a.b":2}'),
        ('{"a":1}', '[{"type":"set","path":"","value":{"b":2}}]', '{"b":2}'),
        ('{"a":1}', '[{"type":"set","path":"","value":7}]', "7"),
        ('{"a":1}', '[{"type":"set","path":"","value":null}]', "null"),
        ('{"a":1}', '[{"type":"set","path":""}]', "null"),
        ("[1]", '[{"type":"set","path":"","value":{}}]', "{}"),
        (None, '[{"type":"set","path":"","value":"x"}]', '"x"'),
        ("{}", '[{"type":"set","path":"grüße \\"\\n","value":1}]', '{"grüße \\"\\n":1}'),
        ("{}", '[{"value":1,"path":"a","type":"set","by":"ignored"}]', '{"a":1}'),
    ],
)
def test_set_puts_a_value_at_a_member_or_in_place_of_the_whole(
    old: str | None, ops: str, new: str
) -> None:
    assert update(old, ops) == (new, [])


@pytest.mark.parametrize(
    ("old", "ops", "new"),
    [
        ('{"a":1,"b":2,"c":3}', '[{"type":"remove","path":"b"}]', '{"a":1,"c":3}'),
        ('{"a":1}', '[{"type":"remove","path":"a"}]', "{}"),
        ('{"a":1}', '[{"type":"remove","path":"b"}]', '{"a":1}'),
        ('{"a":{"b":1}}', '[{"type":"remove","path":"a.b"}]', '{"a":{"b":1}}'),
        ('{"a":1}', '[{"type":"remove","path":""}]', "null"),
        ("[1]", '[{"type":"remove","path":""}]', "null"),
        (None, '[{"type":"remove","path":"a"}]', "{}"),
    ],
)
def test_remove_drops_a_member_or_leaves_null_of_the_whole(
    old: str | None, ops: str, new: str
) -> None:
    assert update(old, ops) == (new, [])


@pytest.mark.parametrize(
    ("old", "by", "incremented", "decremented"),
    [
        (None, 5, '{"n":5}', '{"n":-5}'),
        ("{}", -5, '{"n":-5}', '{"n":5}'),
        ('{"n":1}', 2, '{"n":3}', '{"n":-1}'),
        ('{"a":0,"n":1,"b":0}', 2, '{"a":0,"n":3,"b":0}', '{"a":0,"n":-1,"b":0}'),
        ('{"n":1.5}', 1, '{"n":2.5}', '{"n":0.5}'),
        ('{"n":1.0}', 1, '{"n":2.0}', '{"n":0.0}'),
        ('{"n":1e2}', 1, '{"n":101.0}', '{"n":99.0}'),
        ('{"n":-0}', 0, '{"n":0}', '{"n":0}'),
        ('{"n":1e300}', 1, '{"n":1e300}', '{"n":1e300}'),
        (f'{{"n":{HIGHEST}}}', 0, f'{{"n":{HIGHEST}}}', f'{{"n":{HIGHEST}}}'),
        (f'{{"n":{HIGHEST - 1}}}', 1, f'{{"n":{HIGHEST}}}', f'{{"n":{HIGHEST - 2}}}'),
    ],
)
def test_increment_and_decrement_change_a_number_at_a_member(
    old: str | None, by: int, incremented: str, decremented: str
) -> None:
    assert update(old, op("increment", '"n"', f',"by":{by}')) == (incremented, [])
    assert update(old, op("decrement", '"n"', f',"by":{by}')) == (decremented, [])


@pytest.mark.parametrize(
    ("old", "incremented", "decremented"),
    [("5", "8", "2"), (" 5 ", "8", "2"), ("1.5", "4.5", "-1.5"), ("-1", "2", "-4")],
)
def test_increment_and_decrement_change_the_whole_when_it_is_a_number(
    old: str, incremented: str, decremented: str
) -> None:
    assert update(old, op("increment", '""', ',"by":3')) == (incremented, [])
    assert update(old, op("decrement", '""', ',"by":3')) == (decremented, [])


def test_an_integer_beyond_64_bits_may_come_back_into_range() -> None:
    ops = op("decrement", '"n"', ',"by":1')
    assert update(f'{{"n":{HIGHEST + 1}}}', ops) == (f'{{"n":{HIGHEST}}}', [])


@pytest.mark.parametrize(
    ("kind", "member", "by"),
    [
        ("increment", str(HIGHEST), 1),
        ("increment", str(LOWEST), -1),
        ("increment", BIG, 1),
        ("increment", "9" * 5000, 1),
        ("increment", "1e999", 1),
        ("increment", "-1e999", 1),
        ("decrement", str(LOWEST), 1),
        ("decrement", str(HIGHEST), -1),
        ("decrement", "0", LOWEST),
        ("decrement", f"-{BIG}", 1),
        ("decrement", "1e999", 1),
    ],
)
def test_a_number_stays_as_it_is_when_the_result_would_leave_64_bits(
    kind: str, member: str, by: int
) -> None:
    old = f'{{"n": {member}}}'
    assert update(old, op(kind, '"n"', f',"by":{by}')) == (old, [f"{kind}.overflow"])
    assert update(member, op(kind, '""', f',"by":{by}')) == (member, [f"{kind}.overflow"])


def test_a_missing_member_stays_missing_when_its_first_value_would_leave_64_bits() -> None:
    assert update("{}", op("decrement", '"n"', f',"by":{LOWEST}')) == ("{}", ["decrement.overflow"])


@pytest.mark.parametrize("kind", ["increment", "decrement"])
@pytest.mark.parametrize("member", ["null", '"1"', "true", "false", "[]", "[1]", '{"n":1}'])
def test_what_is_no_number_is_not_counted(kind: str, member: str) -> None:
    old = f'{{"n":{member}}}'
    assert update(old, op(kind, '"n"', ',"by":1')) == (old, [f"{kind}.not_number"])
    assert update(member, op(kind, '""', ',"by":1')) == (member, [f"{kind}.not_number"])


def test_a_missing_key_is_an_object_when_the_whole_is_incremented() -> None:
    assert update(None, op("increment", '""', ',"by":1')) == ("{}", ["increment.not_number"])


@pytest.mark.parametrize("path", ["", ',"path":null', ',"path":""', ',"path":[]'])
@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        (None, '{"a":1}', '{"a":1}'),
        ('{"a":1,"b":2}', '{"c":3,"a":0}', '{"a":0,"b":2,"c":3}'),
        ('{"a":{"x":1}}', '{"a":{"y":2}}', '{"a":{"y":2}}'),
        ('{"a":1}', '{"a":null}', '{"a":null}'),
        ('{"a":1}', "{}", '{"a":1}'),
    ],
)
def test_merge_puts_members_into_the_root_when_it_has_no_path(
    path: str, old: str | None, value: str, new: str
) -> None:
    assert update(old, f'[{{"type":"merge","value":{value}{path}}}]') == (new, [])


@pytest.mark.parametrize(
    ("old", "path", "value", "new"),
    [
        ('{"a":{"x":1}}', '"a"', '{"y":2}', '{"a":{"x":1,"y":2}}'),
        ('{"a":{"x":1}}', '["a"]', '{"y":2}', '{"a":{"x":1,"y":2}}'),
        ("{}", '"a.b"', '{"y":2}', '{"a.b":{"y":2}}'),
        ("{}", '["a.b"]', '{"y":2}', '{"a.b":{"y":2}}'),
        ("{}", '["a","b"]', '{"y":2}', '{"a":{"b":{"y":2}}}'),
        ("{}", '["a","b"]', "{}", '{"a":{"b":{}}}'),
        ("{}", '[""]', '{"y":2}', '{"":{"y":2}}'),
        (
            '{"a":{"b":{"x":1},"c":1.0},"d":1e5}',
            '["a","b"]',
            '{"y":2}',
            '{"a":{"b":{"x":1,"y":2},"c":1.0},"d":1e5}',
        ),
        ('{"a":5}', '["a","b"]', '{"y":2}', '{"a":{"b":{"y":2}}}'),
        ('{"a":[1]}', '"a"', '{"y":2}', '{"a":{"y":2}}'),
        ('{"a":{"b":null}}', '["a","b"]', '{"y":2}', '{"a":{"b":{"y":2}}}'),
        ('{"a":"text","b":1}', '"a"', '{"y":2}', '{"a":{"y":2},"b":1}'),
        (None, '["a","b","c"]', '{"y":2}', '{"a":{"b":{"c":{"y":2}}}}'),
    ],
)
def test_merge_puts_members_into_the_object_at_its_path_and_makes_one_where_none_is(
    old: str | None, path: str, value: str, new: str
) -> None:
    assert update(old, op("merge", path, f',"value":{value}')) == (new, [])


@pytest.mark.parametrize("value", ["null", "1", '"x"', "true", "[]", '[{"a":1}]'])
def test_merge_is_skipped_when_its_value_is_no_object(value: str) -> None:
    ops = f'[{{"type":"merge","value":{value}}}]'
    assert update('{"a":1}', ops) == ('{"a":1}', ["merge.value.not_an_object"])


@pytest.mark.parametrize(
    "value",
    [
        nested(16),
        '{"x":' + "[" * 15 + "]" * 15 + "}",
        '{"x":"' + "{[" * 40 + '\\"{[\\\\"}',
        '{"x":[' + ",".join(["{}"] * 40) + "]}",
    ],
)
def test_merge_takes_values_of_sixteen_levels(value: str) -> None:
    assert update(None, f'[{{"type":"merge","value":{value}}}]') == (value, [])


@pytest.mark.parametrize(
    "value",
    [nested(17), nested(500), '{"x":' + "[" * 16 + "]" * 16 + "}", '{"y":{},' + nested(17)[1:]],
)
def test_merge_is_skipped_when_its_value_is_deeper_than_sixteen_levels(value: str) -> None:
    assert update(None, f'[{{"type":"merge","value":{value}}}]') == ("{}", ["merge.value.too_deep"])


def test_merge_is_skipped_when_its_value_has_more_than_1024_members() -> None:
    fitting = "{" + ",".join(f'"{number}":0' for number in range(1024)) + "}"
    too_many = fitting[:-1] + ',"more":0}'

    assert update(None, f'[{{"type":"merge","value":{fitting}}}]') == (fitting, [])
    assert update(None, f'[{{"type":"merge","value":{too_many}}}]') == (
        "{}",
        ["merge.value.too_many_keys"],
    )


@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype", "\\u005f_proto__"])
def test_merge_is_skipped_when_its_value_has_a_refused_member(name: str) -> None:
    ops = f'[{{"type":"merge","value":{{"a":1,"{name}":{{}}}}}}]'
    assert update("{}", ops) == ("{}", ["merge.value.proto_polluted"])


def test_a_refused_name_below_a_merged_member_is_stored_as_set_would_store_it() -> None:
    ops = '[{"type":"merge","value":{"car":{"constructor":"x"}}}]'
    assert update("{}", ops) == ('{"car":{"constructor":"x"}}', [])


@pytest.mark.parametrize("path", ["", ',"path":null', ',"path":""', ',"path":[]'])
@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("[]", "1", "[1]"),
        ("[ ]", "1", "[1]"),
        ("[1, 2.0]", "[3]", "[1, 2.0,[3]]"),
        (" [1 ] ", "null", "[1,null]"),
        ('"ab"', '"c\\u0064"', '"abc\\u0064"'),
        ('""', '""', '""'),
        ("null", '"x"', '"x"'),
        ("null", "1", "[1]"),
        ("null", "null", "[null]"),
        ("null", '{"a":1}', '[{"a":1}]'),
    ],
)
def test_append_adds_to_the_root_when_it_has_no_path(
    path: str, old: str, value: str, new: str
) -> None:
    assert update(old, f'[{{"type":"append","value":{value}{path}}}]') == (new, [])


@pytest.mark.parametrize(
    ("old", "path", "value", "new"),
    [
        ('{"a":[1.0]}', '"a"', "2", '{"a":[1.0,2]}'),
        ('{"a":["x"]}', '"a"', '"y"', '{"a":["x","y"]}'),
        ('{"a":"x","b":0}', '"a"', '"y"', '{"a":"xy","b":0}'),
        (None, '"a"', '"y"', '{"a":"y"}'),
        ("{}", '"a"', "1", '{"a":[1]}'),
        ('{"a":null}', '"a"', '"y"', '{"a":"y"}'),
        ('{"a":null}', '"a"', "[]", '{"a":[[]]}'),
        ("{}", '"a.b"', "1", '{"a.b":[1]}'),
    ],
)
def test_append_adds_to_a_member_when_its_path_is_a_name(
    old: str | None, path: str, value: str, new: str
) -> None:
    assert update(old, op("append", path, f',"value":{value}')) == (new, [])


@pytest.mark.parametrize(
    ("old", "path", "value", "new"),
    [
        ('{"a":{"b":[1],"c":1e5}}', '["a","b"]', "2", '{"a":{"b":[1,2],"c":1e5}}'),
        ('{"a":{"b":"x"}}', '["a","b"]', '"y"', '{"a":{"b":"xy"}}'),
        ("{}", '["a","b"]', "1", '{"a":{"b":[1]}}'),
        ("{}", '["a","b"]', '"y"', '{"a":{"b":["y"]}}'),
        ("{}", '["a"]', '"y"', '{"a":["y"]}'),
        ('{"a":{"b":null}}', '["a","b"]', '"y"', '{"a":{"b":["y"]}}'),
        ('{"a":null,"z":0}', '["a","b","c"]', "1", '{"a":{"b":{"c":[1]}},"z":0}'),
        ('{"a":{"":[]}}', '["a",""]', "1", '{"a":{"":[1]}}'),
        (None, '["a.b","c"]', "1", '{"a.b":{"c":[1]}}'),
    ],
)
def test_append_adds_to_a_nested_member_and_makes_an_array_where_none_is(
    old: str | None, path: str, value: str, new: str
) -> None:
    assert update(old, op("append", path, f',"value":{value}')) == (new, [])


@pytest.mark.parametrize(
    ("old", "path", "value"),
    [
        ('{"a":"x"}', '"a"', "1"),
        ('{"a":1}', '"a"', "1"),
        ('{"a":true}', '"a"', '"x"'),
        ('{"a":{}}', '"a"', "1"),
        ('{"a":{"b":1}}', '["a","b"]', "1"),
        ('{"a":{"b":{}}}', '["a","b"]', "1"),
        ('{"a":1}', '["a","b"]', "1"),
        ('{"a":[1]}', '["a","b"]', "1"),
        ('{"a":{"b":"x"}}', '["a","b","c"]', "1"),
        ("{}", '""', "1"),
        (None, '""', "1"),
        ("1", '""', "1"),
        ('"x"', '""', "1"),
        ("false", "[]", "1"),
    ],
)
def test_append_is_skipped_when_the_target_takes_no_such_value(
    old: str | None, path: str, value: str
) -> None:
    ops = op("append", path, f',"value":{value}')
    assert update(old, ops) == (old or "{}", ["append.type_mismatch"])


@pytest.mark.parametrize("root", ["null", "1", '"x"', "true", "[]", '[{"a":1}]'])
@pytest.mark.parametrize(
    "fields",
    [
        '"type":"set","path":"a","value":1',
        '"type":"remove","path":"a"',
        '"type":"increment","path":"a","by":1',
        '"type":"decrement","path":"a","by":1',
        '"type":"merge","value":{"a":1}',
        '"type":"merge","path":"a","value":{"a":1}',
        '"type":"merge","path":["a","b"],"value":{"a":1}',
        '"type":"append","path":"a","value":1',
        '"type":"append","path":["a","b"],"value":1',
    ],
)
def test_what_needs_a_member_is_skipped_when_the_root_is_no_object(root: str, fields: str) -> None:
    kind = fields.split('"')[3]
    assert update(root, f"[{{{fields}}}]") == (root, [f"{kind}.target_not_object"])


REST = {
    "set": ',"value":1',
    "remove": "",
    "increment": ',"by":1',
    "decrement": ',"by":1',
    "merge": ',"value":{}',
    "append": ',"value":1',
}


@pytest.mark.parametrize("kind", REST)
@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype"])
def test_a_refused_name_in_a_path_is_skipped_in_every_operation(kind: str, name: str) -> None:
    old = f'{{"{name}":1}}'
    assert update(old, op(kind, f'"{name}"', REST[kind])) == (old, [f"{kind}.path.proto_polluted"])


@pytest.mark.parametrize("kind", REST)
@pytest.mark.parametrize("name", ["x" * 257, "ü" * 129])
def test_a_name_of_more_than_256_bytes_is_skipped_in_every_operation(kind: str, name: str) -> None:
    ops = op(kind, f'"{name}"', REST[kind])
    assert update("{}", ops) == ("{}", [f"{kind}.path.segment_too_long"])


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128])
def test_a_name_of_256_bytes_is_taken(name: str) -> None:
    assert update("{}", op("set", f'"{name}"', ',"value":1')) == (f'{{"{name}":1}}', [])


@pytest.mark.parametrize(
    ("segment", "reason"),
    [("constructor", "proto_polluted"), ("x" * 257, "segment_too_long")],
)
@pytest.mark.parametrize("kind", ["merge", "append"])
def test_every_name_of_an_array_path_is_checked(kind: str, segment: str, reason: str) -> None:
    ops = op(kind, f'["a","{segment}","b"]', REST[kind])
    assert update("{}", ops) == ("{}", [f"{kind}.path.{reason}"])


@pytest.mark.parametrize("kind", ["merge", "append"])
def test_a_path_of_more_than_32_names_is_skipped(kind: str) -> None:
    fitting, too_deep = ("[" + ",".join(['"x"'] * count) + "]" for count in (32, 33))

    new, errors = update("{}", op(kind, fitting, REST[kind]))
    assert (new.count('"x"'), errors) == (32, [])
    assert update("{}", op(kind, too_deep, REST[kind])) == ("{}", [f"{kind}.path.too_deep"])


def test_operations_are_applied_in_their_order() -> None:
    ops = """[
        {"type":"set","path":"a","value":1},
        {"type":"merge","value":{"b":2,"a":5}},
        {"type":"increment","path":"a","by":10},
        {"type":"append","path":["c","d"],"value":"x"},
        {"type":"merge","path":["c"],"value":{"e":3}},
        {"type":"remove","path":"b"},
        {"type":"set","path":"b","value":9}
    ]"""
    assert update(None, ops) == ('{"a":15,"c":{"d":["x"],"e":3},"b":9}', [])


def test_an_operation_sees_the_whole_that_the_one_before_it_set() -> None:
    ops = """[
        {"type":"set","path":"","value":{"n":1}},
        {"type":"increment","path":"n","by":1},
        {"type":"set","path":"","value":[1]},
        {"type":"append","value":2},
        {"type":"remove","path":""},
        {"type":"append","value":"x"},
        {"type":"append","value":"y"}
    ]"""
    assert update('{"old":true}', ops) == ('"xy"', [])


def test_an_operation_that_fails_is_skipped_and_named_while_the_others_count() -> None:
    ops = parse_ops(b"""[
        {"type":"increment","path":"name","by":1},
        {"type":"set","path":"a","value":1},
        {"type":"append","path":["name","b"],"value":1},
        {"type":"merge","value":[]},
        {"type":"increment","path":"a","by":1}
    ]""")

    assert apply_ops(b'{"name":"x"}', ops) == (
        b'{"name":"x","a":2}',
        [
            OpError(0, "increment.not_number", "`name` is a string, not a number"),
            OpError(2, "append.type_mismatch", "`name` is a string, not an object"),
            OpError(3, "merge.value.not_an_object", "`value` is an array, not an object"),
        ],
    )


def test_an_error_is_written_with_its_three_members() -> None:
    _, errors = apply_ops(b"1", parse_ops(b'[{"type":"remove","path":"a"}]'))

    assert msgspec.json.encode(errors) == (
        b'[{"op_index":0,"code":"remove.target_not_object",'
        b'"message":"the value is a number, not an object, so it has no members"}]'
    )


def test_a_missing_key_becomes_an_empty_object_when_there_are_no_operations() -> None:
    assert update(None, "[]") == ("{}", [])


@pytest.mark.parametrize("old", [' { "a" : 1.0 } ', "[ ]", "1E5", '{"a":1,"a":2}'])
def test_the_text_stays_as_it_is_when_no_operation_is_applied(old: str) -> None:
    assert update(old, "[]") == (old, [])
    assert update(old, '[{"type":"merge","value":1}]') == (old, ["merge.value.not_an_object"])


@pytest.mark.parametrize(
    "member",
    [
        "1.0",
        "1e5",
        "1E+2",
        "-0",
        "-0.0",
        "1e999",
        BIG,
        '"\\u0041\\/"',
        "[1,  2 ]",
        '{"b":1, "b":2}',
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        '"type":"set","path":"n","value":0',
        '"type":"increment","path":"n","by":-1',
        '"type":"merge","value":{"n":0}',
    ],
)
def test_members_that_are_not_touched_keep_their_spelling(member: str, fields: str) -> None:
    old = f'{{"before":{member},"n":1,"after":{member}}}'
    new = f'{{"before":{member},"n":0,"after":{member}}}'
    assert update(old, f"[{{{fields}}}]") == (new, [])


@pytest.mark.parametrize("value", ["1.0", "1e5", "1e999", BIG, '"\\u0041"', "[1,  2 ]"])
def test_a_value_is_stored_as_the_operation_spells_it(value: str) -> None:
    ops = f"""[
        {{"type":"set","path":"a","value":{value}}},
        {{"type":"merge","value":{{"b":{value}}}}},
        {{"type":"append","path":["c"],"value":{value}}}
    ]"""
    assert update(None, ops) == (f'{{"a":{value},"b":{value},"c":[{value}]}}', [])


def test_operations_can_be_applied_again_and_leave_their_inputs_alone() -> None:
    old = b'{"a":{"b":[1]},"n":1}'
    text = b"""[
        {"type":"append","path":["a","b"],"value":2},
        {"type":"merge","path":"m","value":{"x":{"y":1}}},
        {"type":"merge","path":["m","x"],"value":{"z":2}},
        {"type":"increment","path":"n","by":1}
    ]"""
    ops = parse_ops(text)
    new = b'{"a":{"b":[1,2]},"n":2,"m":{"x":{"y":1,"z":2}}}'

    assert apply_ops(old, ops) == (new, [])
    assert apply_ops(old, ops) == (new, [])
    assert ops == parse_ops(text)
    assert old == b'{"a":{"b":[1]},"n":1}'


def test_a_member_that_is_nested_deeply_is_passed_on() -> None:
    deep = "[" * 400 + "]" * 400
    old = f'{{"deep":{deep}}}'
    assert update(old, op("set", '"a"', ',"value":1')) == (f'{{"deep":{deep},"a":1}}', [])


# More than any Python follows.
DEEPER = "[" * 200_000 + "]" * 200_000


@pytest.mark.parametrize("root", [f'{{"deep":{DEEPER}}}', '{"a":', '{"a":1', '{"\\ud800":1}'])
@pytest.mark.parametrize("kind", REST)
def test_an_object_that_cannot_be_read_is_left_alone(kind: str, root: str) -> None:
    assert update(root, op(kind, '"a"', REST[kind])) == (root, [f"{kind}.target_unreadable"])
    assert update(root, '[{"type":"set","path":"","value":1}]') == ("1", [])


@pytest.mark.parametrize("kind", ["merge", "append"])
def test_an_object_on_the_path_that_cannot_be_read_is_not_replaced(kind: str) -> None:
    # Not UTF-8, which is skipped at the root and met only where the object is opened.
    unreadable = b'{"a":{"\xff":1}}'

    new, errors = apply_ops(unreadable, parse_ops(op(kind, '["a","b"]', REST[kind]).encode()))

    assert (new, [error.code for error in errors]) == (unreadable, [f"{kind}.target_unreadable"])


@pytest.mark.parametrize(
    "old", [b"", b"  ", b"x", b"-", b"1x", b"1.x", b"1.5e", b'"', b"[", b"\xff"]
)
def test_text_that_is_no_json_raises_nothing(old: bytes) -> None:
    for kind, rest in REST.items():
        for path in ('""', '"a"'):
            apply_ops(old, parse_ops(op(kind, path, rest).encode()))


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        (
            '[{"type":"replace"}]',
            "ops[0].type: invalid value 'replace'; "
            "the types are append, decrement, increment, merge, remove, set",
        ),
        (
            '[{"type":"remove","path":"a"},{"type":"Set"}]',
            "ops[1].type: invalid value 'Set'; "
            "the types are append, decrement, increment, merge, remove, set",
        ),
        ('[{"path":"a"}]', "ops[0]: object missing required field `type`"),
        ('[{"type":"set","value":1}]', "ops[0]: object missing required field `path`"),
        ('[{"type":"remove"}]', "ops[0]: object missing required field `path`"),
        ('[{"type":"increment","by":1}]', "ops[0]: object missing required field `path`"),
        ('[{"type":"decrement","by":1}]', "ops[0]: object missing required field `path`"),
        ('[{"type":"increment","path":"a"}]', "ops[0]: object missing required field `by`"),
        ('[{"type":"merge","path":"a"}]', "ops[0]: object missing required field `value`"),
        ('[{"type":"append","path":"a"}]', "ops[0]: object missing required field `value`"),
        ('[{"type":"set","path":null}]', "ops[0].path: expected `str`, got `null`"),
        ('[{"type":"set","path":["a"]}]', "ops[0].path: expected `str`, got `array`"),
        ('[{"type":"remove","path":1}]', "ops[0].path: expected `str`, got `int`"),
        (
            '[{"type":"merge","path":1,"value":{}}]',
            "ops[0].path: expected `str | array | null`, got `int`",
        ),
        (
            '[{"type":"append","path":["a",1],"value":{}}]',
            "ops[0].path[1]: expected `str`, got `int`",
        ),
        ("[1]", "ops[0]: expected `object`, got `int`"),
        ("{}", "ops: expected `array`, got `object`"),
        ("null", "ops: expected `array`, got `null`"),
        ("", "ops: input data was truncated"),
    ],
)
def test_operations_that_cannot_be_read_are_refused_with_index_and_field(
    ops: str, message: str
) -> None:
    with pytest.raises(InvalidOps) as refused:
        parse_ops(ops.encode())

    assert refused.value.message == message


@pytest.mark.parametrize("kind", ["increment", "decrement"])
@pytest.mark.parametrize(
    ("by", "problem"),
    [
        ("1.5", "expected `int`, got `float`"),
        ("1.0", "expected `int`, got `float`"),
        ("1e2", "expected `int`, got `float`"),
        ('"1"', "expected `int`, got `str`"),
        ("true", "expected `int`, got `bool`"),
        ("null", "expected `int`, got `null`"),
        ("9223372036854775808", "expected `int` <= 9223372036854775807"),
        ("-9223372036854775809", "expected `int` >= -9223372036854775808"),
        (BIG, "expected `int` <= 9223372036854775807"),
        ("1e999", "number out of range"),
    ],
)
def test_by_is_refused_when_it_is_no_integer_of_64_bits(kind: str, by: str, problem: str) -> None:
    with pytest.raises(InvalidOps) as refused:
        parse_ops(op(kind, '"n"', f',"by":{by}').encode())

    assert refused.value.message == f"ops[0].by: {problem}"


def test_refused_operations_carry_the_code_of_an_unreadable_payload() -> None:
    with pytest.raises(EngineError) as refused:
        parse_ops(b"1")

    assert refused.value.code == "deserialization_error"


def test_an_unknown_type_is_clipped_in_the_message_when_it_is_long() -> None:
    with pytest.raises(InvalidOps) as refused:
        parse_ops(b'[{"type":"%b"}]' % (b"x" * 10_000))

    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "ops",
    [
        b'[{"type":"set","path":"\xff","value":1}]',
        b'[{"type":"set","path":"a","value":"\xff"}]',
        b'[{"type":"set","path":"a","value":' + DEEPER.encode() + b"}]",
        b'[{"type":"set","path":"a","value":01}]',
    ],
)
def test_operations_are_refused_when_their_text_is_not_what_json_allows(ops: bytes) -> None:
    with pytest.raises(InvalidOps):
        parse_ops(ops)


def test_operations_are_read_from_a_raw_part_of_a_payload() -> None:
    ops = parse_ops(msgspec.Raw(b'[{"type":"set","path":"a","value":1}]'))

    assert apply_ops(None, ops) == (b'{"a":1}', [])
