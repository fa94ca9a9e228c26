"""JSON for people."""

from __future__ import annotations

import pytest

from console.readable import MAX_CHARACTERS, readable_json


def test_json_is_indented_and_keeps_its_spelling() -> None:
    text = '{"b":1.50e3,"a":[12345678901234567890123],"b":"\\u00fc"}'

    assert readable_json(text) == (
        '{\n  "b": 1.50e3,\n  "a": [\n    12345678901234567890123\n  ],\n  "b": "\\u00fc"\n}'
    )


@pytest.mark.parametrize("text", ["", "{", "not JSON", '"\\ud800"', "[" * 5000])
def test_what_is_no_json_is_shown_as_it_is(text: str) -> None:
    assert readable_json(text) == text


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert readable_json(b"\xff") == "\N{REPLACEMENT CHARACTER}"


def test_a_long_value_is_cut() -> None:
    text = readable_json('"' + "x" * MAX_CHARACTERS + '"')

    assert text.endswith("\n… and 2 more characters")
    assert len(text) < MAX_CHARACTERS + 50
