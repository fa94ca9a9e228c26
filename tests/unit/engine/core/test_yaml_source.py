from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import ConfigError
from engine.core.yaml_source import dotted, parse_document, read_document

EMPTY = (
    "the file is empty: write `modules: []` for the mandatory modules alone, "
    "or start with --use-default-config"
)
BILLION = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{one}: &{one} [{', '.join(['*' + other] * 10)}]\n"
    for one, other in zip("bcdefghij", "abcdefghi", strict=True)
)

PROBLEMS = {
    "empty": ("", f"c.yaml: {EMPTY}"),
    "comments alone": ("# modules: []\n\n", f"c.yaml: {EMPTY}"),
    "open list": (
        "modules: [1, 2\n",
        "c.yaml:2:1: this is not valid YAML: expected ',' or ']', but got '<stream end>' "
        "(while parsing a flow sequence that starts in line 1)",
    ),
    "open quote": (
        "a: 'x\n",
        "c.yaml:2:1: this is not valid YAML: found unexpected end of stream "
        "(while scanning a quoted scalar that starts in line 1)",
    ),
    "bad indentation": (
        "a: 1\n  b: 2\n",
        "c.yaml:2:4: this is not valid YAML: mapping values are not allowed here",
    ),
    "a tab": (
        "a:\n\tb: 2\n",
        "c.yaml:2:1: this is not valid YAML: a tab cannot indent YAML, use spaces",
    ),
    "a control character": (
        "a: 1\nb: \x07\n",
        "c.yaml:2:4: the character U+0007 is not allowed in YAML",
    ),
    "two documents": (
        "a: 1\n---\nb: 2\n",
        "c.yaml:2:1: this is not valid YAML: expected a single document in the stream, "
        "but found another document",
    ),
    "a duplicate key": (
        "a: 1\nb:\n  c: 1\n  c: 2\n",
        "c.yaml:4:3: the key `c` is here twice, first in line 3",
    ),
    "an undefined alias": (
        "a: *nope\n",
        "c.yaml:1:4: this is not valid YAML: found undefined alias 'nope'",
    ),
    "an alias to itself": (
        "a: &a\n  b: *a\n",
        "c.yaml:1:4: this value contains itself through an alias",
    ),
    "exploding aliases": (
        BILLION,
        "c.yaml:1:1: the aliases of this file stand for more than 100000 values",
    ),
    "a key that is a list": ("? [a]\n: 1\n", "c.yaml:1:3: a key must be text"),
    "a Python object": (
        "a: !!python/object/apply:os.system [ls]\n",
        "c.yaml:1:4: this is not valid YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    "a number that is none": (
        "a: !!int x\n",
        "c.yaml: this is not valid YAML: invalid literal for int() with base 10: 'x'",
    ),
    "too deep": ("[" * 1500, "c.yaml: the file is nested too deeply"),
}


@pytest.mark.parametrize(("source", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_is_not_good_yaml_is_told_in_one_line(source: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document(source, "c.yaml", {})
    assert str(caught.value) == message


def test_a_problem_in_the_value_of_a_variable_is_told_at_its_placeholder() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document("a: 1\nb: ${B}\n", "c.yaml", {"B": "c: d: e"})
    assert str(caught.value) == (
        "c.yaml:2:5: this is not valid YAML: mapping values are not allowed here"
    )


@pytest.mark.parametrize(
    ("path", "at_key", "place"),
    [
        ((), False, (1, 1)),
        (("list",), False, (2, 1)),
        (("list",), True, (1, 1)),
        (("list", 1, "b"), False, (4, 6)),
        (("list", 1, "b"), True, (4, 3)),
        (("list", 1, "none", "deeper"), False, (3, 3)),
        (("list", 9), False, (2, 1)),
        (("list", 0), False, (2, 3)),
    ],
)
def test_every_value_knows_its_place(
    path: tuple[str | int, ...], at_key: bool, place: tuple[int, int]
) -> None:
    document = parse_document("list:\n- a: 1\n- a: 2\n  b: 3\n", "c.yaml", {})
    assert document.place(path, at_key=at_key) == place


def test_an_own_key_wins_over_a_merged_one() -> None:
    document = parse_document("x: &x {a: 1}\ny:\n  <<: *x\n  a: 2\n", "c.yaml", {})
    assert document.value["y"] == {"a": 2}
    assert document.place(("y", "a")) == (4, 6)


def test_paths_are_spelled_as_people_write_them() -> None:
    assert dotted(("modules", 2, "config", "port")) == "modules[2].config.port"
    assert dotted(()) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes("a: ü\r\nb: 1\r\n".encode(encoding))
    assert read_document(file, {}).value == {"a": "ü", "b": 1}


def test_a_file_in_another_encoding_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"a: 1\nb: \xfc\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2: the file is not UTF-8 text$"):
        read_document(file, {})


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a directory, not a config file"):
        read_document(tmp_path, {})


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="the file cannot be read: Not a directory"):
        read_document(tmp_path / "file" / "c.yaml", {})
