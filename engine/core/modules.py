"""What a module and an adapter owe the engine, and the registries that find them by class path."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.core.listeners import Listener

if TYPE_CHECKING:
    from engine.core.engine import Engine

Thing = TypeVar("Thing")

NEAR_ENOUGH = 0.6
"""How alike two names must be for one to be offered for the other (0 to 1)."""


class ModuleConfig(BaseModel):
    """The options of a module or an adapter: typed, documented, never changed.

    A subclass declares one field for each option with `Field(default, description=…)`; an option
    that it does not declare is an error. `iii modules` prints names, defaults and descriptions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `port: true`, which pydantic would read as 1."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds = plain_types(cls.model_fields[info.field_name].annotation)
            if bool not in kinds and (int in kinds or float in kinds):
                kind = "int_type" if int in kinds else "float_type"
                raise PydanticCustomError(kind, "Input should be a valid number")
        return value


class AnyModuleConfig(ModuleConfig):
    """Options of which only some are known: whatever else is written is accepted and ignored."""

    model_config = ConfigDict(extra="ignore")


class Adapter:
    """The backend of a module, chosen in its config by class path.

    Attributes:
        class_path: the canonical name: `modules::state::adapters::KvStore`.
        aliases: every other spelling that configs use.
        Config: its own options, checked before anything starts.
    """

    class_path: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    Config: ClassVar[type[ModuleConfig]] = ModuleConfig


@dataclass(frozen=True, slots=True)
class AdapterChoice:
    """The adapter that a config names, with its checked options."""

    adapter: type[Adapter]
    config: ModuleConfig


class AdapterRegistry:
    """The adapters of one module by spelling; the first is the default.

    A module with adapters has an option for the choice::

        adapters = AdapterRegistry(KvStore, RedisAdapter)

        class Config(ModuleConfig):
            adapter: AdapterChoice = Field(default_factory=adapters.default_choice, description=…)
    """

    def __init__(self, *adapters: type[Adapter]) -> None:
        self._names = _SpellingTable[type[Adapter]]("adapter")
        for adapter in adapters:
            self._names.add(adapter, adapter.class_path, adapter.aliases)

    def __iter__(self) -> Iterator[type[Adapter]]:
        return iter(self._names.things)

    def register(self, adapter: type[Adapter]) -> type[Adapter]:
        """Add one more adapter under all its spellings."""
        self._names.add(adapter, adapter.class_path, adapter.aliases)
        return adapter

    def resolve(self, spelling: str) -> type[Adapter] | None:
        """Return the adapter of this spelling, letter for letter; None if there is none."""
        return self._names.find(spelling)

    def suggest(self, spelling: str) -> str | None:
        """Return the nearest spelling that exists, if one is near enough."""
        return nearest_class_path(spelling, self._names.spellings)

    @property
    def default(self) -> type[Adapter]:
        """The adapter of a config that names none."""
        return self._names.things[0]

    def default_choice(self) -> AdapterChoice:
        """Return the default adapter with its default options."""
        return AdapterChoice(self.default, self.default.Config())


class Module:
    """A configured part of the engine: its ports, functions and trigger types.

    The engine makes one instance for each entry of the config, in the order of the file, asks for
    the listeners, and starts the modules in that order before any port listens.

    Attributes:
        class_path: the canonical name: `modules::api::RestApiModule`.
        aliases: every other spelling that configs use, the names of newer engines among them.
        Config: its options.
        adapters: the backends to choose from; None for a module without such a choice.
        on_by_default: it runs when there is no config file.
        mandatory: it runs whether the config names it or not.
        repeatable: more than one entry of it makes sense.
        built: False where configs may name it but this engine does not have it yet.
    """

    class_path: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    Config: ClassVar[type[ModuleConfig]] = ModuleConfig
    adapters: ClassVar[AdapterRegistry | None] = None
    on_by_default: ClassVar[bool] = False
    mandatory: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    built: ClassVar[bool] = True

    engine: Engine
    config: ModuleConfig

    def __init__(self, engine: Engine, config: ModuleConfig) -> None:
        self.engine = engine
        self.config = config

    def listeners(self) -> Sequence[Listener]:
        """Return the ports that it wants, known before it starts."""
        return ()

    async def start(self) -> None:
        """Register functions and trigger types; no worker is connected yet."""

    def wind_down(self) -> None:
        """Begin nothing new: the engine stops once the running calls have ended."""

    async def stop(self) -> None:
        """Release what `start` took; called once, and only after a start that succeeded."""


class ModuleRegistry:
    """All modules that a config may name, by every spelling of their class path."""

    def __init__(self, modules: Iterable[type[Module]] = ()) -> None:
        self._names = _SpellingTable[type[Module]]("module")
        for module in modules:
            self.register(module)

    def __iter__(self) -> Iterator[type[Module]]:
        return iter(self._names.things)

    def register(self, module: type[Module]) -> type[Module]:
        """Add a module under its class path and aliases.

        Raises:
            ValueError: one of the spellings belongs to another module.
        """
        self._names.add(module, module.class_path, module.aliases)
        return module

    def resolve(self, spelling: str) -> type[Module] | None:
        """Return the module of this spelling, letter for letter; None if there is none."""
        return self._names.find(spelling)

    def suggest(self, spelling: str) -> str | None:
        """Return the nearest spelling that exists, if one is near enough."""
        return nearest_class_path(spelling, self._names.spellings)


class _SpellingTable(Generic[Thing]):
    """Things by their canonical name and aliases; every spelling means one thing."""

    def __init__(self, kind: str) -> None:
        self.things: list[Thing] = []
        self._kind = kind
        self._by_spelling: dict[str, Thing] = {}

    @property
    def spellings(self) -> Iterable[str]:
        return self._by_spelling

    def find(self, spelling: str) -> Thing | None:
        return self._by_spelling.get(spelling)

    def add(self, thing: Thing, name: str, aliases: Sequence[str]) -> None:
        for spelling in (name, *aliases):
            if spelling in self._by_spelling:
                raise ValueError(f"{self._kind} {spelling!r} is registered twice")
        self._by_spelling.update(dict.fromkeys((name, *aliases), thing))
        self.things.append(thing)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, whatever its case; None if none is near."""
    by_folded = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=NEAR_ENOUGH)
    return by_folded[found[0]] if found else None


def nearest_class_path(spelling: str, known: Iterable[str]) -> str | None:
    """Return the known class path that is most like a wrong one; None if none is near.

    The last part counts as much as the whole, and the `modules::` that nearly all share not at
    all: otherwise any two class paths would be alike.
    """
    wanted = spelling.casefold().removeprefix("modules::")
    scores = {each: _likeness(wanted, each.casefold().removeprefix("modules::")) for each in known}
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] >= NEAR_ENOUGH else None


def _likeness(one: str, other: str) -> float:
    whole = difflib.SequenceMatcher(None, one, other).ratio()
    last = difflib.SequenceMatcher(None, one.split("::")[-1], other.split("::")[-1]).ratio()
    return (whole + last) / 2


def plain_types(annotation: Any) -> set[Any]:
    """Return the types that an option's annotation allows, `X | None` and `Annotated` opened."""
    if get_origin(annotation) is Annotated:
        return plain_types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(plain_types(each) for each in get_args(annotation)))
    return {annotation}
