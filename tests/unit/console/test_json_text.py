"""JSON as people type it."""

from __future__ import annotations

import pytest

from console.json_text import NotJson, compact_json, is_same_json


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        (' {"b" : 1.0,\n"a": [ ]} ', b'{"b":1.0,"a":[]}'),
        ("12345678901234567890123", b"12345678901234567890123"),
        ("1.50E+3", b"1.50E+3"),
        ('"\\u00fc ü"', '"\\u00fc ü"'.encode()),
        ('{"a":1,"a":2}', b'{"a":1,"a":2}'),
        ("null", b"null"),
    ],
)
def test_the_layout_goes_and_the_spelling_stays(text: str, compact: bytes) -> None:
    assert compact_json(text) == compact


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{'a': 1}", "Line 1, column 2: expecting property name enclosed in double quotes."),
        ('[1,\n"ä" 2]', "Line 2, column 5: expecting ',' delimiter."),
        ("1 2", "Line 1, column 3: extra data."),
        ('["ä",\n Infinity]', "Line 2, column 2: invalid character."),
        ('"\\ud800"', "An escape \\ud800 to \\udfff stands for half a character; "),
        ("[" * 100_000, "It is nested too deeply."),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(NotJson) as caught:
        compact_json(text)

    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("stored", "typed", "is_same"),
    [
        ('{"a": "\\u00fc"}', '{"a":"ü"}', True),
        ('{"a":1.0}', '{"a":1.00}', False),
        ('{"a":1,"b":2}', '{"b":2,"a":1}', False),
        ("[1 2]", "[1]", False),
    ],
)
def test_layout_and_escapes_make_no_difference(stored: str, typed: str, is_same: bool) -> None:
    assert is_same_json(stored, typed.encode()) is is_same
