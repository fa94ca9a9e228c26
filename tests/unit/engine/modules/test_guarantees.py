"""The pages of guarantees: every test that they name is there, and every promise names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[3]
PAGES: Final = {
    name: (TESTS.parent / f"engine/modules/{name}/README.md").read_text(encoding="utf-8")
    for name in ("queue", "cron")
}
NAMED: Final = sorted(
    {each for page in PAGES.values() for each in re.findall(r"`([\w/]+\.py)::(\w+)`", page)}
)


@cache
def functions(path: Path) -> set[str]:
    """Return the names of a module's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_what_holds_a_promise_is_there(file: str, test: str) -> None:
    assert test in functions(TESTS / file)


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_what_holds_it(page: str) -> None:
    rows = [line for line in PAGES[page].splitlines() if line.startswith("|")]
    promises = [row for row in rows if not row.startswith(("| Promise ", "| --- "))]
    assert len(promises) > 20
    assert [row for row in promises if not re.search(r"\.py::test_\w+`", row)] == []
