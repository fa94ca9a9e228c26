"""JSON for people."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.readable import MAX_CHARACTERS, readable_escapes, readable_json


def test_json_is_indented_and_keeps_numbers_and_order() -> None:
    text = '{"b":1.50e3,"a":[12345678901234567890123],"b":"\\u00fc"}'

    assert readable_json(text) == (
        '{\n  "b": 1.50e3,\n  "a": [\n    12345678901234567890123\n  ],\n  "b": "ü"\n}'
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r'"\u00fc \u4f60 \ud83d\ude00"', '"ü 你 😀"'),
        (r'"\uD83D\uDE00"', '"😀"'),
        (r'"\\u00fc \\\u00fc"', r'"\\u00fc \\ü"'),
        (r'"\u0022 \u005c \n"', r'"\u0022 \u005c \n"'),
        (r'"\u0000 \u2028 \u202e \u00a0"', r'"\u0000 \u2028 \u202e \u00a0"'),
        (r'"\ud83d \ude00', r'"\ud83d \ude00'),
        (r'"\u00fc\u00f', r'"ü\u00f'),
    ],
)
def test_escapes_are_read_unless_they_hide_something(text: str, read: str) -> None:
    assert readable_escapes(text) == read


@given(st.text())
def test_text_whose_escapes_are_read_means_the_same(text: str) -> None:
    read = readable_escapes(json.dumps(text))

    assert json.loads(read) == text
    assert readable_escapes(read) == read


@pytest.mark.parametrize("text", ["", "{", "not JSON", '"\\ud800"', "[" * 5000])
def test_what_is_no_json_is_shown_as_it_is(text: str) -> None:
    assert readable_json(text) == text


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert readable_json(b"\xff") == "\N{REPLACEMENT CHARACTER}"


def test_a_long_value_is_cut() -> None:
    text = readable_json('"' + "x" * MAX_CHARACTERS + '"')

    assert text.endswith("\n… and 2 more characters")
    assert len(text) < MAX_CHARACTERS + 50
