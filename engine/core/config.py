"""What the engine is told to run: the YAML file, checked as a whole before anything starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from engine.core.errors import ConfigError, ConfigProblem
from engine.core.modules import (
    AdapterChoice,
    AdapterRegistry,
    Module,
    ModuleConfig,
    ModuleRegistry,
)
from engine.core.validation import (
    OptionProblem,
    check_options,
    describe_value,
    unknown_key,
)
from engine.core.yaml_source import ConfigPath, Document, dotted, read_document

if TYPE_CHECKING:
    from engine.core.engine import Engine

CONFIG_FILES: Final = ("iii-config.yaml", "config.yaml")
"""Where the engine looks without `--config`, in this order, in the working directory."""

BUILT_IN_CONFIG: Final = "built-in default"
"""What stands for a file name where there is none."""

WORKER_MODULE: Final = "modules::worker::WorkerModule"
"""The module that the top-level `port` belongs to."""

ENGINE_FUNCTIONS: Final = "iii-engine-functions"
"""What newer engines call the functions of the worker module; they list it beside the listener,
`iii-worker-manager`. Such an entry adds nothing here."""

SECOND_LISTENER: Final = "several worker listeners are not built yet"
SECOND_MODULE: Final = "a second one would claim the same ports, functions and trigger types"

ENTRY_KEYS: Final = ("class", "name", "config", "image")
ADAPTER_KEYS: Final = ("class", "name", "config")


@dataclass(frozen=True, slots=True)
class ConfiguredModule:
    """One module to run.

    Attributes:
        name: its class path, with `#1`, `#2`, … where the same module is listed several times.
        module: its class.
        config: its checked options.
    """

    name: str
    module: type[Module]
    config: ModuleConfig

    def build(self, engine: Engine) -> Module:
        """Make the module, not started yet."""
        return self.module(engine, self.config)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything that a config says.

    Attributes:
        source: the file as the user named it, or `built-in default`.
        modules: in the order in which they start.
        registration_namespace_grace_ms: accepted without effect: nothing is held back, and what
            a worker registered before it named its namespace moves there.
    """

    source: str
    modules: tuple[ConfiguredModule, ...]
    registration_namespace_grace_ms: int = 5_000


class TopLevelOptions(ModuleConfig):
    """The top-level keys of a config file."""

    modules: list[Any] | None = Field(default=None, description="the modules to run, in order")
    workers: list[Any] | None = Field(
        default=None, description="the same under its newer name; these come first"
    )
    port: int | None = Field(
        default=None, ge=0, le=65_535, description="port of the worker WebSocket; 0 means 49134"
    )
    registration_namespace_grace_ms: int = Field(
        default=5_000,
        ge=0,
        description="accepted without effect: registrations are never held back",
    )


def find_config(directory: Path) -> Path | None:
    """Return the config file of a directory; None if it has none."""
    for name in CONFIG_FILES:
        if (directory / name).exists():
            return directory / name
    return None


def builtin_config(registry: ModuleRegistry) -> EngineConfig:
    """Return the config that runs without a file: every module that is on by default."""
    chosen = [module for module in registry if module.on_by_default or module.mandatory]
    return EngineConfig(
        BUILT_IN_CONFIG,
        tuple(ConfiguredModule(each.class_path, each, each.Config()) for each in chosen),
    )


def load_config(
    file: Path, registry: ModuleRegistry, environment: Mapping[str, str]
) -> EngineConfig:
    """Read and check a config file.

    Raises:
        ConfigError: with everything that is wrong, not only the first.
    """
    return check_document(read_document(file, environment), registry)


def check_document(document: Document, registry: ModuleRegistry) -> EngineConfig:
    """Check a parsed config, see `load_config`."""
    return _ConfigCheck(document, registry).run()


def resolve_host(
    command_line: str | None, config: str | None, environment: Mapping[str, str]
) -> str | None:
    """Choose the address of a listener: `--host`, the config's, `$III_HOST`, else None.

    None is the loopback on both address families.
    """
    return command_line or config or environment.get("III_HOST") or None


@dataclass(slots=True)
class _Entry:
    """One entry of the lists, as far as it could be understood."""

    path: ConfigPath
    spelling: str
    module: type[Module]
    options: Mapping[str, Any]


class _ConfigCheck:
    """One check of one document: collects problems, gives a config if there are none."""

    def __init__(self, document: Document, registry: ModuleRegistry) -> None:
        self._document = document
        self._registry = registry
        self._problems: list[tuple[tuple[int, int], ConfigProblem]] = []

    def run(self) -> EngineConfig:
        top = self._top_level()
        entries = _as_one_worker_module(
            [
                *self._entries("workers", top.workers or ()),
                *self._entries("modules", top.modules or ()),
            ]
        )
        self._check_repeats(entries)
        present = {entry.module for entry in entries}
        entries += [
            _Entry((), module.class_path, module, {})
            for module in self._registry
            if module.mandatory and module not in present
        ]
        configured = self._configured(entries, top.port)
        if self._problems:
            self._problems.sort(key=lambda each: each[0])
            raise ConfigError(tuple(problem for _, problem in self._problems))
        return EngineConfig(
            self._document.name, tuple(configured), top.registration_namespace_grace_ms
        )

    def _configured(
        self, entries: Sequence[_Entry], top_port: int | None
    ) -> list[ConfiguredModule]:
        counts = Counter(entry.module for entry in entries)
        numbers: Counter[type[Module]] = Counter()
        configured = []
        for entry in entries:
            numbers[entry.module] += 1
            suffix = f"#{numbers[entry.module]}" if counts[entry.module] > 1 else ""
            config = self._module_config(entry, top_port)
            if config is not None:
                name = entry.module.class_path + suffix
                configured.append(ConfiguredModule(name, entry.module, config))
        return configured

    def _top_level(self) -> TopLevelOptions:
        """Check the top level; what is wrong there counts as absent for what follows."""
        value = self._document.value
        if not isinstance(value, dict):
            hint = "; put `modules:` above the list" if isinstance(value, list) else ""
            self._report(
                (), f"expected a mapping with `modules:`, got {describe_value(value)}{hint}"
            )
            return TopLevelOptions()
        checked = check_options(TopLevelOptions, value, "a config file")
        if isinstance(checked, TopLevelOptions):
            return checked
        self._report_options((), checked)
        wrong = {problem.path[0] for problem in checked if problem.path}
        return TopLevelOptions.model_validate(
            {key: each for key, each in value.items() if key not in wrong}
        )

    def _entries(self, list_name: str, entries: Sequence[Any]) -> list[_Entry]:
        found = []
        for number, raw in enumerate(entries):
            entry = self._entry((list_name, number), raw)
            if entry is not None:
                found.append(entry)
        return found

    def _entry(self, path: ConfigPath, raw: Any) -> _Entry | None:
        """Understand one entry: `{class|name, config?}`."""
        if not isinstance(raw, dict):
            hint = f"; write `- class: {raw}`" if isinstance(raw, str) else ""
            self._report(path, f"expected a mapping with `class`, got {describe_value(raw)}{hint}")
            return None
        self._check_keys(path, raw, ENTRY_KEYS, "a module entry")
        spelling, key = self._spelling(path, raw)
        options = self._options(path, raw)
        if spelling is None:
            return None
        module = self._registry.resolve(spelling)
        if module is None:
            self._report((*path, key), self._unknown_module(spelling, "image" in raw))
            return None
        if "image" in raw:
            message = f"`image` is for external workers; {spelling} is built in"
            self._report((*path, "image"), message, at_key=True)
        return None if options is None else _Entry(path, spelling, module, options)

    def _unknown_module(self, spelling: str, is_container: bool) -> str:
        message = f"Unknown module class: {spelling} (module class not found)"
        if is_container:
            return (
                f"{message}; this engine starts no containers: "
                "run the image beside it and remove the entry"
            )
        near = self._registry.suggest(spelling)
        hint = f", did you mean `{near}`?" if near else ";"
        return f"{message}{hint} there are {', '.join(each.class_path for each in self._registry)}"

    def _check_repeats(self, entries: Sequence[_Entry]) -> None:
        seen: dict[type[Module], _Entry] = {}
        for entry in entries:
            first = seen.setdefault(entry.module, entry)
            if first is not entry and not entry.module.repeatable:
                is_worker = entry.module.class_path == WORKER_MODULE
                reason = SECOND_LISTENER if is_worker else SECOND_MODULE
                self._report(entry.path, f"{entry.module.class_path} is listed twice: {reason}")

    def _module_config(self, entry: _Entry, top_port: int | None) -> ModuleConfig | None:
        module, options = entry.module, dict(entry.options)
        if top_port and module.class_path == WORKER_MODULE:
            self._check_worker_port(options.setdefault("port", top_port), top_port)
        written = options.pop("adapter", None) if module.adapters is not None else None
        if module.adapters is not None and written is not None:
            choice = self._adapter(entry.path, module.adapters, written)
            if choice is not None:
                options["adapter"] = choice
        owner = module.class_path.rsplit("::", 1)[-1]
        checked = check_options(module.Config, options, owner)
        if isinstance(checked, ModuleConfig):
            return checked
        self._report_options((*entry.path, "config"), checked)
        return None

    def _check_worker_port(self, own_port: Any, top_port: int) -> None:
        if own_port != top_port:
            self._report(
                ("port",),
                f"the top-level `port` {top_port} and the `port` {own_port} of {WORKER_MODULE} "
                "disagree: remove one of them",
            )

    def _adapter(
        self, module_path: ConfigPath, adapters: AdapterRegistry, raw: Any
    ) -> AdapterChoice | None:
        """Check `adapter: {class|name, config?}` with the adapter's own options."""
        path = (*module_path, "config", "adapter")
        if not isinstance(raw, dict):
            hint = f"; write `{{class: {raw}}}`" if isinstance(raw, str) else ""
            self._report(path, f"expected a mapping with `class`, got {describe_value(raw)}{hint}")
            return None
        self._check_keys(path, raw, ADAPTER_KEYS, "an adapter")
        spelling, key = self._spelling(path, raw)
        options = self._options(path, raw)
        if spelling is None:
            return None
        adapter = adapters.resolve(spelling)
        if adapter is None:
            near = adapters.suggest(spelling)
            hint = f", did you mean `{near}`?" if near else ";"
            known = ", ".join(each.class_path for each in adapters)
            message = f"Adapter factory '{spelling}' not found{hint} available: {known}"
            self._report((*path, key), message)
            return None
        if options is None:
            return None
        checked = check_options(adapter.Config, options, adapter.class_path.rsplit("::", 1)[-1])
        if isinstance(checked, ModuleConfig):
            return AdapterChoice(adapter, checked)
        self._report_options((*path, "config"), checked)
        return None

    def _spelling(self, path: ConfigPath, raw: Mapping[str, Any]) -> tuple[str | None, str]:
        """Return the class path that an entry or adapter names, and the key above it."""
        keys = [key for key in ("class", "name") if key in raw]
        if not keys:
            self._report(path, "`class` (or `name`) is required: it says what this is")
            return None, "class"
        if len(keys) == 2 and raw["class"] != raw["name"]:
            self._report(path, "give `class` or `name`, not both: they are two words for one thing")
            return None, "class"
        spelling = raw[keys[0]]
        if not isinstance(spelling, str) or not spelling:
            self._report((*path, keys[0]), f"expected a class path, got {describe_value(spelling)}")
            return None, keys[0]
        return spelling, keys[0]

    def _options(self, path: ConfigPath, raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
        options = raw.get("config")
        if options is None:
            return {}
        if not isinstance(options, dict):
            message = f"expected a mapping of options, got {describe_value(options)}"
            self._report((*path, "config"), message)
            return None
        return options

    def _check_keys(
        self, path: ConfigPath, raw: Mapping[Any, Any], known: Sequence[str], owner: str
    ) -> None:
        for key in raw:
            if key not in known:
                message = unknown_key(str(key), known, owner, kind="key")
                self._report((*path, str(key)), message, at_key=True)

    def _report(self, path: ConfigPath, message: str, *, at_key: bool = False) -> None:
        line, column = self._document.place(path, at_key=at_key)
        place = f"{self._document.name}:{line}:{column}"
        self._problems.append(((line, column), ConfigProblem(place, dotted(path), message)))

    def _report_options(self, path: ConfigPath, problems: Sequence[OptionProblem]) -> None:
        for each in problems:
            self._report((*path, *each.path), each.message, at_key=each.at_key)


def _as_one_worker_module(entries: Sequence[_Entry]) -> list[_Entry]:
    """Drop the entry for the engine's functions where there is one for the listener."""
    listeners = [
        entry
        for entry in entries
        if entry.module.class_path == WORKER_MODULE and entry.spelling != ENGINE_FUNCTIONS
    ]
    return [entry for entry in entries if not (listeners and entry.spelling == ENGINE_FUNCTIONS)]
