from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field, ValidationError

from engine.core.modules import (
    Adapter,
    AdapterRegistry,
    AnyModuleConfig,
    Module,
    ModuleConfig,
    ModuleRegistry,
    nearest,
    nearest_class_path,
    plain_types,
)


class Tea(Module):
    class_path = "modules::kitchen::TeaModule"
    aliases: ClassVar[tuple[str, ...]] = ("tea",)


class Coffee(Module):
    class_path = "modules::kitchen::CoffeeModule"


class Pot(Adapter):
    class_path = "modules::kitchen::Pot"
    aliases = ("pot",)


class Cup(Adapter):
    class_path = "modules::kitchen::Cup"


def test_a_module_is_resolved_letter_for_letter() -> None:
    registry = ModuleRegistry([Tea, Coffee])
    assert registry.resolve("tea") is Tea
    assert registry.resolve("modules::kitchen::TeaModule") is Tea
    assert registry.resolve("Tea") is None
    assert list(registry) == [Tea, Coffee]


def test_a_spelling_belongs_to_one_module() -> None:
    class OtherTea(Module):
        class_path = "modules::other::TeaModule"
        aliases: ClassVar[tuple[str, ...]] = ("tea",)

    registry = ModuleRegistry([Tea])
    with pytest.raises(ValueError, match="module 'tea' is registered twice"):
        registry.register(OtherTea)
    assert registry.resolve("modules::other::TeaModule") is None


def test_the_first_adapter_is_the_default() -> None:
    adapters = AdapterRegistry(Pot, Cup)
    assert adapters.default_choice().adapter is Pot
    assert adapters.resolve("pot") is Pot
    assert adapters.suggest("modules::kitchen::Cop") == "modules::kitchen::Cup"


def test_an_adapter_can_be_added() -> None:
    class Jug(Adapter):
        class_path = "modules::kitchen::Jug"

    adapters = AdapterRegistry(Pot)
    adapters.register(Jug)
    assert list(adapters) == [Pot, Jug]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("modules::kitchen::TeeModule", "modules::kitchen::TeaModule"),
        ("kitchen::TeaModule", "modules::kitchen::TeaModule"),
        ("TEA", "tea"),
        ("modules::garden::Shed", None),
        ("", None),
    ],
)
def test_the_nearest_class_path_is_offered_only_if_it_is_near(wrong: str, near: str | None) -> None:
    assert ModuleRegistry([Tea, Coffee]).suggest(wrong) == near


def test_nothing_is_near_to_nothing() -> None:
    assert nearest_class_path("tea", []) is None
    assert nearest("tea", []) is None


def test_the_nearest_name_ignores_case() -> None:
    assert nearest("PROT", ["port", "host"]) == "port"


class Options(ModuleConfig):
    port: int = Field(default=1)
    ratio: float | None = None
    enabled: bool = False
    either: int | bool = 0


@pytest.mark.parametrize("options", [{"port": True}, {"ratio": False}])
def test_a_boolean_is_no_number(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(options)


def test_a_boolean_is_a_boolean_where_one_is_wanted() -> None:
    options = Options.model_validate({"enabled": True, "either": True})
    assert (options.enabled, options.either) == (True, True)


def test_options_do_not_change() -> None:
    options: Any = Options()
    with pytest.raises(ValidationError, match="frozen"):
        options.port = 2


def test_unknown_options_are_errors_unless_a_module_says_otherwise() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Options.model_validate({"prot": 1})
    assert AnyModuleConfig.model_validate({"prot": 1}).model_dump() == {}


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (int, {int}),
        (int | None, {int, type(None)}),
        (Annotated[int, "x"] | str, {int, str}),
        (list[int], {list[int]}),
    ],
)
def test_annotations_are_opened(annotation: Any, types: set[Any]) -> None:
    assert plain_types(annotation) == types
