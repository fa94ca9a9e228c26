"""`iii modules`: what a config can name, with every option. Without Django."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.core.errors import StartError
from engine.core.modules import Adapter, AdapterChoice, Module, ModuleRegistry
from engine.core.validation import models_in, option_spellings
from engine.modules.catalogue import installed_modules
from iiiproject.check import print_error
from iiiproject.terminal import BOLD, YELLOW, paint, table

LEGEND = (
    "* runs without a config file, ! runs always. `iii modules CLASS` shows one with its options."
)


def list_modules(wanted: str | None) -> int:
    """Print all modules in short, or one with its options and adapters."""
    try:
        registry = installed_modules()
        lines = _overview(registry) if wanted is None else _details(_find(wanted, registry))
    except StartError as error:
        print_error(error)
        return 1
    print(*lines, sep="\n")
    return 0


def _overview(registry: ModuleRegistry) -> list[str]:
    rows = []
    for module in registry:
        mark = "!" if module.mandatory else "*" if module.on_by_default else " "
        state = "" if module.built else "not built yet"
        rows.append((mark, module.class_path, ", ".join(module.aliases), state))
    return [*table(rows, indent=""), "", LEGEND]


def _find(wanted: str, registry: ModuleRegistry) -> type[Module]:
    """Find a module by any spelling, or by the last part of its class path."""
    short_names = {each.class_path.split("::")[-1]: each for each in registry}
    module = registry.resolve(wanted) or short_names.get(wanted)
    if module is None:
        near = registry.suggest(wanted)
        hint = f", did you mean {near}?" if near else "; `iii modules` lists them all"
        raise StartError(f"there is no module {wanted}{hint}")
    return module


def _details(module: type[Module]) -> Iterator[str]:
    yield from _heading(module, "")
    if not module.built:
        yield paint("  not built yet: accepted in configs, does nothing", YELLOW, sys.stdout)
    yield from table(_options(module.Config), indent="    ")
    for number, adapter in enumerate(module.adapters or ()):
        yield ""
        yield from _heading(adapter, " (the default adapter)" if number == 0 else " (adapter)")
        yield from table(_options(adapter.Config), indent="    ")


def _heading(thing: type[Module] | type[Adapter], note: str) -> Iterator[str]:
    yield paint(thing.class_path, BOLD, sys.stdout) + note
    yield "  " + (thing.__doc__ or "").strip().split("\n")[0]
    if thing.aliases:
        yield f"  also: {', '.join(thing.aliases)}"


def _options(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Return name, kind, default and description of every option, nested ones by their path."""
    rows = []
    for key, field in model.model_fields.items():
        name = prefix + next(option_spellings(key, field))
        nested = [] if _is_adapter(field) else list(models_in(field.annotation))
        rows.append((name, _kind(field.annotation), _default(field), field.description or ""))
        for each in nested:
            rows += _options(each, f"{name}[]." if _is_list(field.annotation) else f"{name}.")
    return rows


def _is_adapter(field: FieldInfo) -> bool:
    return field.annotation is AdapterChoice


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple)


def _kind(annotation: Any) -> str:
    """Say in a word or two what a value of this type looks like."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(each) for each in parts if each is not types.NoneType)
    if origin is Literal:
        return " | ".join(map(str, parts))
    if annotation is AdapterChoice:
        return "adapter"
    names = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    if annotation in names:
        return names[annotation]
    return "list" if (origin or annotation) in (list, tuple, set, frozenset) else "mapping"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, AdapterChoice):
        return value.adapter.class_path.split("::")[-1]
    return value if isinstance(value, str) and value else json.dumps(value, default=str)
