"""The page of guarantees: every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[4]
PAGE: Final = (TESTS.parent / "engine/modules/queue/README.md").read_text(encoding="utf-8")
NAMED: Final = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))


def functions(path: Path) -> set[str]:
    """Return the names of a module's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_what_holds_a_promise_is_there(file: str, test: str) -> None:
    assert test in functions(TESTS / file)


def test_every_promise_names_what_holds_it() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    promises = [row for row in rows if not row.startswith(("| Promise ", "| --- "))]
    assert len(promises) > 20
    assert [row for row in promises if not re.search(r"\.py::test_\w+`", row)] == []
