"""Every module that a config may name: the built-in ones and those of installed packages."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from engine.core.errors import StartError
from engine.core.modules import Module, ModuleRegistry

ENTRY_POINT_GROUP: Final = "iii.modules"
"""Where a package says which modules it brings: `name = "package.module:ModuleClass"`."""

BUILT_IN: Final = (
    "streams.module:StreamModule",
    "kv.state:StateModule",
    "kv.server:KvServer",
    "engine.modules.api.module:RestApiModule",
    "engine.modules.queue.module:QueueModule",
    "engine.modules.pubsub.module:PubSubModule",
    "engine.modules.cron.module:CronModule",
    "engine.modules.planned.observability:OtelModule",
    "engine.modules.planned.observability:LoggingModule",
    "engine.modules.planned.outside:BridgeClientModule",
    "engine.modules.planned.outside:ExecModule",
    "engine.modules.planned.outside:HttpFunctionsModule",
    "engine.modules.planned.outside:ConfigurationModule",
    "engine.modules.worker.module:WorkerModule",
    "engine.modules.telemetry.module:TelemetryModule",
    "engine.modules.devtools.module:DevToolsModule",
)
"""Where the built-in modules are, in the order in which they start without a config file."""


def installed_modules() -> ModuleRegistry:
    """Load all modules.

    Raises:
        StartError: an installed package declares a module that cannot be loaded, or one whose
            class path is taken; the message names the package.
    """
    return load_modules(BUILT_IN, entry_points(group=ENTRY_POINT_GROUP))


def load_modules(built_in: Iterable[str], installed: Iterable[EntryPoint]) -> ModuleRegistry:
    """Load modules from import paths (`package.module:Class`) and from entry points."""
    registry = ModuleRegistry()
    for path in built_in:
        package, name = path.split(":")
        registry.register(getattr(importlib.import_module(package), name))
    for entry_point in sorted(installed, key=lambda each: (each.name, each.value)):
        try:
            registry.register(_load(entry_point))
        except Exception as error:  # whatever a foreign package does when it is imported
            raise StartError(
                f"{_origin(entry_point)} brings the module {entry_point.name!r} "
                f"({entry_point.value}), which cannot be used: {type(error).__name__}: {error}. "
                "Repair the package or uninstall it"
            ) from error
    return registry


def _load(entry_point: EntryPoint) -> type[Module]:
    loaded = entry_point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Module)):
        raise TypeError("it is not a subclass of engine.core.modules.Module")
    if not isinstance(getattr(loaded, "class_path", None), str):
        raise TypeError("it has no class_path")
    return loaded


def _origin(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    if distribution is None:
        return "an installed package"
    return f"the package {distribution.name} {distribution.version}"
