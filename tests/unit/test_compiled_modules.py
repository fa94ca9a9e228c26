"""What the compiler does not refuse, but a compiled module must not have: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("iiiproject", "engine", "kv", "streams", "console")
SUBCLASSABLE: Final = "mypyc_attr(allow_interpreted_subclasses=True)"


def compiled_files() -> list[Path]:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = options["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    return [ROOT / name for name in hook["modules"]]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def classes(file: Path) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef):
            yield node


def imported_from(file: Path) -> dict[str, str]:
    """Return the module of every name that a file imports from one."""
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def bases(node: ast.ClassDef) -> set[str]:
    """Return the names of the classes that a class is made of, without their parameters."""
    plain = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
    return {ast.unparse(base) for base in plain}


COMPILED: Final = compiled_files()
INTERPRETED: Final = [
    file
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
    if file not in COMPILED
]
CLASSES: Final = {
    (module_name(file), node.name): node for file in COMPILED for node in classes(file)
}


def compiled_bases(file: Path) -> Iterator[tuple[ast.ClassDef, ast.ClassDef]]:
    """Yield the classes of a file that can have instances, with the compiled ones below them."""
    imported = imported_from(file)
    for node in classes(file):
        if "Protocol" not in bases(node):
            for base in bases(node):
                if (found := CLASSES.get((imported.get(base, ""), base))) is not None:
                    yield node, found


def is_exception(node: ast.ClassDef) -> bool:
    return any(base.endswith(("Error", "Exception", "Failed")) for base in bases(node))


def assigned(node: ast.ClassDef) -> set[str]:
    """Return the attributes that a class itself has values for."""
    names = set()
    for each in node.body:
        if isinstance(each, ast.Assign):
            names |= {ast.unparse(target) for target in each.targets}
        elif isinstance(each, ast.AnnAssign) and each.value is not None:
            names.add(ast.unparse(each.target))
    return names - {"__slots__"}


def of_instances(node: ast.ClassDef) -> set[str]:
    """Return the attributes that a class declares for its instances."""
    return {
        ast.unparse(each.target)
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and not ast.unparse(each.annotation).startswith("ClassVar")
    }


def test_the_files_exist() -> None:
    assert [file for file in COMPILED if not file.is_file()] == []


@pytest.mark.parametrize("file", INTERPRETED, ids=module_name)
def test_classes_of_other_modules_may_be_made_of_its_classes(file: Path) -> None:
    refused = [
        f"{node.name} of {base.name}"
        for node, base in compiled_bases(file)
        if SUBCLASSABLE not in map(ast.unparse, base.decorator_list) and not is_exception(base)
    ]
    assert refused == []


@pytest.mark.parametrize("file", INTERPRETED, ids=module_name)
def test_they_do_not_hide_attributes_of_instances(file: Path) -> None:
    """Compiled code reads an attribute where the instance has it, never from a class."""
    hidden = [
        f"{node.name}.{name}"
        for node, base in compiled_bases(file)
        for name in assigned(node) & of_instances(base)
    ]
    assert hidden == []


@pytest.mark.parametrize("file", COMPILED, ids=module_name)
def test_its_structs_are_elsewhere(file: Path) -> None:
    """The compiler drops the options of a struct, and most of what its members are."""
    structs = [
        node.name for node in classes(file) if any(base.endswith("Struct") for base in bases(node))
    ]
    assert structs == []
