"""`iii check`: says everything that is wrong with a config, without Django."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.core.config import (
    ConfiguredModule,
    EngineConfig,
    builtin_config,
    find_config,
    load_config,
)
from engine.core.errors import ConfigError, EngineError
from engine.core.modules import ModuleRegistry
from engine.modules.catalogue import installed_modules
from iiiproject.terminal import GREEN, RED, YELLOW, paint, table


def choose_config(
    config_file: Path | None, registry: ModuleRegistry, *, uses_default_config: bool
) -> EngineConfig:
    """Load the config that a command line means.

    Args:
        config_file: `--config`; it must exist.
        registry: every module that a config may name.
        uses_default_config: `--use-default-config`: look for no file.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    if uses_default_config:
        return builtin_config(registry)
    file = config_file or find_config(Path())
    return builtin_config(registry) if file is None else load_config(file, registry, os.environ)


def check(config_file: Path | None, *, uses_default_config: bool) -> int:
    """Say whether the engine would accept a config; print everything that is wrong with it."""
    try:
        registry = installed_modules()
        config = choose_config(config_file, registry, uses_default_config=uses_default_config)
    except EngineError as error:
        print_error(error)
        return 1
    missing = sum(not entry.module.built for entry in config.modules)
    count = len(config.modules)
    summary = f"{config.source}: {count} module{'' if count == 1 else 's'}"
    if missing:
        summary += f", {missing} of them not built yet"
    print(f"{paint('OK', GREEN, sys.stdout)}: {summary}")
    print(*table(_summary(entry) for entry in config.modules), sep="\n")
    return 0


def print_error(error: EngineError) -> None:
    """Print what stops the engine: one line, or one for each problem of a config."""
    label = paint("error", RED, sys.stderr)
    if not isinstance(error, ConfigError):
        print(f"{label}: {error.message}", file=sys.stderr)
        return
    for problem in error.problems:
        print(f"{label}: {problem}", file=sys.stderr)
    if len(error.problems) > 1:
        print(f"{len(error.problems)} problems", file=sys.stderr)


def _summary(entry: ConfiguredModule) -> tuple[str, str, str]:
    port = getattr(entry.config, "port", None)
    state = "" if entry.module.built else paint("not built yet", YELLOW, sys.stdout)
    return entry.name, f"port {port}" if port is not None else "", state
