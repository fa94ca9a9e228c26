"""The options of a module or adapter against its model; pydantic's complaints in plain words."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from engine.core.modules import nearest

ModelT = TypeVar("ModelT", bound=BaseModel)

SHOWN_VALUE_LENGTH: Final = 40
"""How much of a wrong value an error shows, in characters."""


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """What is wrong with one option.

    Attributes:
        path: keys and list positions below the options that were checked.
        message: what is wrong, and the nearest right spelling.
        at_key: it is the key that is wrong, not its value.
    """

    path: tuple[str | int, ...]
    message: str
    at_key: bool = False


def check_options(
    model: type[ModelT], options: Mapping[str, Any], owner: str
) -> ModelT | list[OptionProblem]:
    """Build a model from options, or say everything that is wrong with them.

    Args:
        model: the model of the options.
        options: what the file says.
        owner: who has these options, for the messages: `RestApiModule`.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        return [_problem(each, model, owner) for each in error.errors(include_url=False)]


def option_names(model: type[BaseModel]) -> list[str]:
    """Return the names of a model's options, as they are written in a config."""
    return [
        name for key, field in model.model_fields.items() for name in option_spellings(key, field)
    ]


def option_spellings(key: str, field: FieldInfo) -> Iterator[str]:
    """Yield the names of one option, the usual one first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        yield from (each for each in alias.choices if isinstance(each, str))
    else:
        yield alias if isinstance(alias, str) else key


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation speaks of: `list[Rule]`, `Cors | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, list, tuple, dict):
        for each in get_args(annotation):
            yield from models_in(each)


def describe_value(value: Any) -> str:
    """Say what a value is, for a message: `the text "abc"`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= SHOWN_VALUE_LENGTH else value[:SHOWN_VALUE_LENGTH] + "…"
        return f'the text "{shown}"'
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return f"a {type(value).__name__}"


def unknown_key(key: str, known: Sequence[str], owner: str, *, kind: str = "option") -> str:
    """Say that a key is unknown, which is the nearest, and which there are."""
    near = nearest(key, known)
    hint = f", did you mean `{near}`?" if near else ";"
    listing = f"has {', '.join(known)}" if known else f"has no {kind}s"
    return f"unknown {kind} `{key}`{hint} {owner} {listing}"


EXPECTED: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "dataclass": "a mapping",
}
"""What pydantic wanted, by the first word of its error type."""

LIMITS: Final = {
    "greater_than": ("more than {gt}", "gt"),
    "greater_than_equal": ("at least {ge}", "ge"),
    "less_than": ("less than {lt}", "lt"),
    "less_than_equal": ("at most {le}", "le"),
}


def _problem(error: ErrorDetails, model: type[BaseModel], owner: str) -> OptionProblem:
    path = error["loc"]
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        parent = _model_at(model, path[:-1])
        known = option_names(parent) if parent else []
        place = owner if len(path) == 1 else f"`{path[-2]}`"
        return OptionProblem(path, unknown_key(str(path[-1]), known, place), at_key=True)
    if kind == "missing":
        parent = _model_at(model, path[:-1])
        field = parent.model_fields.get(str(path[-1])) if parent else None
        about = f" ({field.description})" if field and field.description else ""
        return OptionProblem(path[:-1], f"`{path[-1]}` is required{about}")
    if kind in LIMITS:
        limit = LIMITS[kind][0].format(**context)
        return OptionProblem(path, f"must be {limit}, got {describe_value(value)}")
    if kind in ("literal_error", "enum"):
        return OptionProblem(path, _one_of(str(context.get("expected", "")), value))
    if kind == "invalid_key":
        return OptionProblem(path, "a key must be text", at_key=True)
    if kind == "value_error":
        return OptionProblem(path, str(context.get("error", error["msg"])))
    expected = EXPECTED.get(kind.split("_")[0])
    if expected is None or not kind.endswith(("_type", "_parsing", "_from_float", "_size")):
        message = error["msg"].removeprefix("Input ").removeprefix("Value ")
        return OptionProblem(path, f"{message[:1].lower()}{message[1:]}")
    hint = ""
    if expected == "text" and isinstance(value, (bool, int, float)):
        hint = " (put it in quotes)"
    return OptionProblem(path, f"expected {expected}, got {describe_value(value)}{hint}")


def _one_of(expected: str, value: Any) -> str:
    """Spell pydantic's `'a', 'b' or 'c'` with the nearest of them."""
    choices = [each.strip(" '") for each in expected.replace(" or ", ", ").split(",")]
    near = nearest(value, choices) if isinstance(value, str) else None
    hint = f", did you mean `{near}`?" if near else ""
    return f"expected one of {', '.join(choices)}, got {describe_value(value)}{hint}"


def _model_at(model: type[BaseModel], path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Follow a path from a model to the model of the mapping there."""
    found: type[BaseModel] | None = model
    for step in path:
        if found is None or isinstance(step, int):
            continue
        fields = {
            name: f for key, f in found.model_fields.items() for name in option_spellings(key, f)
        }
        if step in fields:
            found = next(models_in(fields[step].annotation), None)
    return found
