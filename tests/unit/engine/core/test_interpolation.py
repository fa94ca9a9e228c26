from __future__ import annotations

import pytest

import engine
from engine.core.interpolation import interpolate, line_and_column

ENVIRONMENT = {"NAME": "value", "EMPTY": "", "KEY": "port", "HASH": "a # b", "LINES": "1\n2\n3"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${NAME}", "a: value"),
        ("a: ${NAME:other}", "a: value"),
        ("a: ${NOPE:other}", "a: other"),
        ("a: ${NOPE:}", "a: "),
        ("a: ${EMPTY:other}", "a: "),
        ("url: ${NOPE:redis://localhost:6379}", "url: redis://localhost:6379"),
        ("path: ${NOPE:./data/a:b}", "path: ./data/a:b"),
        ("a: ${NAME}${NAME}-${NAME}", "a: valuevalue-value"),
        ("${KEY}: 1", "port: 1"),
        ("a: ${NOPE:__III_ENGINE_VERSION__}", f"a: {engine.__version__}"),
        ("a: $NAME ${} $ {NAME} ${NAME", "a: $NAME ${} $ {NAME} ${NAME"),
        ("a: '${NAME} # ${NAME}'", "a: 'value # value'"),
        ('a: "${NAME} # ${NAME}"', 'a: "value # value"'),
        ("a: ${NAME}#${NAME}", "a: value#value"),
        ("a: ${NOPE:x # y} ${NAME}", "a: x # y value"),
        ("a: [${NAME}, {b: ${NAME}}]", "a: [value, {b: value}]"),
        ("a: |\n  one ${NAME}\n  # two ${NAME}\n", "a: |\n  one value\n  # two value\n"),
        ("a:\n- ${NOPE:'x'}\n- ${NOPE:[1}", "a:\n- 'x'\n- [1"),
    ],
)
def test_placeholders_become_values(text: str, expected: str) -> None:
    result = interpolate(text, ENVIRONMENT)
    assert (result.text, result.bad) == (expected, ())


@pytest.mark.parametrize(
    "text",
    [
        "# ${NOPE}",
        "a: 1\n  # ${NOPE}\nb: 2",
        "a: 1 # ${NOPE}",
        "a: 'x' # ${NOPE}",
        "a: [1, # ${NOPE}\n 2]",
        "a: # ${NOPE}\n  - 1",
        "a: | # ${NOPE}\n  text\n# ${NOPE}\nb: 1",
        "a: plain\n  text # ${NOPE}\n",
        "a: {broken # ${NOPE}\n  # ${NOPE}\n",
    ],
)
def test_comments_are_left_alone(text: str) -> None:
    result = interpolate(text, ENVIRONMENT)
    assert (result.text, result.bad) == (text, ())


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        (
            "a: ${NOPE}",
            3,
            "the environment variable NOPE is not set and has no default: "
            "set it, or write ${NOPE:default}",
        ),
        ("a: ${NOPE:${NAME}}", 3, "placeholders cannot be nested"),
        (
            "a: 'open ${NOPE}",
            9,
            "the environment variable NOPE is not set and has no default: "
            "set it, or write ${NOPE:default}",
        ),
    ],
)
def test_what_cannot_be_replaced_is_told_with_its_place(
    text: str, offset: int, message: str
) -> None:
    bad = interpolate(text, ENVIRONMENT).bad
    assert [(each.offset, each.message) for each in bad] == [(offset, message)]


def test_all_unset_variables_are_told() -> None:
    assert len(interpolate("a: ${ONE}\nb: ${TWO} # ${THREE}", {}).bad) == 2


def test_places_are_those_of_the_original_text() -> None:
    result = interpolate("a: ${LINES} ${NAME} end\nb: ${EMPTY}${NAME} z", ENVIRONMENT)
    assert result.text == "a: 1\n2\n3 value end\nb: value z"
    assert result.line_and_column(0) == (1, 1)
    assert result.line_and_column(result.text.index("end")) == (1, 21)
    assert result.line_and_column(result.text.index("b:")) == (2, 1)
    assert result.line_and_column(result.text.index("z")) == (2, 20)
    # Within a long value: no further than its placeholder.
    assert result.line_and_column(result.text.index("3")) == (1, 8)


def test_lines_and_columns_count_from_one() -> None:
    assert [line_and_column("ab\nc", offset) for offset in range(4)] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 1),
    ]
