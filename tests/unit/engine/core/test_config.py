from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from engine.core.config import (
    EngineConfig,
    builtin_config,
    check_document,
    find_config,
    load_config,
    resolve_host,
)
from engine.core.errors import ConfigError
from engine.core.modules import (
    Adapter,
    AdapterChoice,
    AdapterRegistry,
    Module,
    ModuleConfig,
    ModuleRegistry,
)
from engine.core.yaml_source import parse_document


class FileStore(Adapter):
    class_path = "modules::clock::FileStore"
    aliases = ("file",)

    class Config(ModuleConfig):
        path: str = Field(default="clock.db", description="the file")


class MemoryStore(Adapter):
    class_path = "modules::clock::MemoryStore"


CLOCK_ADAPTERS = AdapterRegistry(FileStore, MemoryStore)


class ClockConfig(ModuleConfig):
    port: int = Field(default=4000, ge=0, le=65_535, description="the port")
    host: str | None = Field(default=None, description="the address")
    ratio: float = Field(default=1.0, description="a share")
    enabled: bool = Field(default=True, description="a switch")
    adapter: AdapterChoice = Field(
        default_factory=CLOCK_ADAPTERS.default_choice, description="the store"
    )


class ClockModule(Module):
    class_path = "modules::clock::ClockModule"
    aliases = ("modules::clocks::ClockModule", "iii-clock")
    Config = ClockConfig
    adapters = CLOCK_ADAPTERS
    on_by_default = True


class ShellModule(Module):
    class_path = "modules::shell::ShellModule"
    repeatable = True

    class Config(ModuleConfig):
        exec: list[str] = Field(description="the commands")


class WorkerModule(Module):
    class_path = "modules::worker::WorkerModule"
    aliases = ("iii-worker-manager", "iii-engine-functions")
    on_by_default = True
    mandatory = True

    class Config(ModuleConfig):
        port: int = Field(default=49134, description="the port")


REGISTRY = ModuleRegistry([ClockModule, ShellModule, WorkerModule])


def check(source: str, environment: Mapping[str, str] | None = None) -> EngineConfig:
    return check_document(parse_document(source, "iii.yaml", environment or {}), REGISTRY)


def names(config: EngineConfig) -> list[str]:
    return [each.name for each in config.modules]


def options(config: EngineConfig, number: int = 0) -> dict[str, Any]:
    return config.modules[number].config.model_dump()


def test_modules_run_in_the_order_of_the_file_workers_first_mandatory_ones_last() -> None:
    config = check("modules: [{class: iii-clock}]\nworkers: [{name: 'modules::shell::ShellModule',"
                   " config: {exec: [a]}}]")  # fmt: skip
    assert names(config) == [
        "modules::shell::ShellModule",
        "modules::clock::ClockModule",
        "modules::worker::WorkerModule",
    ]


@pytest.mark.parametrize(
    "spelling", ["modules::clock::ClockModule", "modules::clocks::ClockModule", "iii-clock"]
)
@pytest.mark.parametrize("key", ["class", "name"])
def test_a_module_is_found_by_every_spelling_under_either_key(key: str, spelling: str) -> None:
    config = check(f"modules: [{{{key}: '{spelling}', config: {{port: 4001}}}}]")
    assert config.modules[0].module is ClockModule
    assert options(config)["port"] == 4001


@pytest.mark.parametrize("source", ["modules: []", "modules:", "workers: []", "port: 0", "{}"])
def test_a_file_without_modules_runs_the_mandatory_ones(source: str) -> None:
    assert names(check(source)) == ["modules::worker::WorkerModule"]


def test_without_a_file_the_default_modules_run() -> None:
    config = builtin_config(REGISTRY)
    assert (config.source, names(config)) == (
        "built-in default",
        ["modules::clock::ClockModule", "modules::worker::WorkerModule"],
    )


def test_a_repeatable_module_gets_numbered_names() -> None:
    entry = "{class: 'modules::shell::ShellModule', config: {exec: [a]}}"
    assert names(check(f"modules: [{entry}, {entry}]"))[:2] == [
        "modules::shell::ShellModule#1",
        "modules::shell::ShellModule#2",
    ]


def test_an_entry_for_a_part_of_a_listed_module_adds_nothing() -> None:
    config = check("workers: [{name: iii-engine-functions}, {name: iii-worker-manager,"
                   " config: {port: 5000}}]")  # fmt: skip
    assert names(config) == ["modules::worker::WorkerModule"]
    assert options(config) == {"port": 5000}


def test_a_part_alone_stands_for_its_module() -> None:
    assert names(check("workers: [{name: iii-engine-functions}]")) == [
        "modules::worker::WorkerModule"
    ]


@pytest.mark.parametrize(
    ("source", "port"),
    [
        ("port: 5000", 5000),
        ("port: 0", 49134),
        ("port: 5000\nmodules: [{class: iii-worker-manager}]", 5000),
        ("port: 5000\nmodules: [{class: iii-worker-manager, config: {port: 5000}}]", 5000),
        ("modules: [{class: iii-worker-manager, config: {port: 5001}}]", 5001),
    ],
)
def test_the_top_level_port_is_that_of_the_worker_module(source: str, port: int) -> None:
    assert options(check(source)) == {"port": port}


def test_the_namespace_grace_is_read() -> None:
    assert check("registration_namespace_grace_ms: 7").registration_namespace_grace_ms == 7
    assert check("modules: []").registration_namespace_grace_ms == 5000


@pytest.mark.parametrize("config", ["", ", config: ", ", config: {}", ", config: {adapter: }"])
def test_an_absent_config_or_adapter_means_the_defaults(config: str) -> None:
    checked = check(f"modules: [{{class: iii-clock{config}}}]").modules[0].config
    assert isinstance(checked, ClockConfig)
    assert checked.adapter == AdapterChoice(FileStore, FileStore.Config())


@pytest.mark.parametrize("spelling", ["class: 'modules::clock::FileStore'", "name: file"])
def test_an_adapter_is_chosen_and_checks_its_own_options(spelling: str) -> None:
    checked = check(f"modules: [{{class: iii-clock, config: {{adapter: {{{spelling},"
                    " config: {path: here}}}}]")  # fmt: skip
    config = checked.modules[0].config
    assert isinstance(config, ClockConfig)
    assert config.adapter == AdapterChoice(FileStore, FileStore.Config(path="here"))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("port: '4001'", {"port": 4001}),
        ("ratio: 1", {"ratio": 1.0}),
        ("ratio: .5", {"ratio": 0.5}),
        ("enabled: no", {"enabled": False}),
        ("enabled: On", {"enabled": True}),
        ("host: no", {"host": "no"}),
        ("host: ::1", {"host": "::1"}),
        ("host: 12:30", {"host": "12:30"}),
        ("host: 2026-01-01", {"host": "2026-01-01"}),
        ("port: 0x10", {"port": 16}),
        ("port: 0o17", {"port": 15}),
        ("port: 0017", {"port": 17}),
    ],
)
def test_scalars_mean_what_people_expect(written: str, read: dict[str, Any]) -> None:
    config = check(f"modules:\n  - class: iii-clock\n    config:\n      {written}\n")
    assert options(config).items() >= read.items()


def test_anchors_and_merges_are_followed() -> None:
    config = check("""\
modules:
  - class: modules::shell::ShellModule
    config: &first
      exec: [a]
  - class: modules::shell::ShellModule
    config: *first
  - class: modules::shell::ShellModule
    config:
      <<: *first
      exec: [b]
""")
    assert [options(config, number)["exec"] for number in range(3)] == [["a"], ["a"], ["b"]]


def test_variables_are_read_from_the_environment() -> None:
    source = "modules: [{class: iii-clock, config: {port: '${PORT}', host: \"${HOST:a:b}\"}}]"
    assert options(check(source, {"PORT": "3999"})).items() >= {"port": 3999, "host": "a:b"}.items()


def test_a_config_is_loaded_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "iii.yaml"
    file.write_text("modules: [{class: iii-clock}]\n")
    config = load_config(file, REGISTRY, {})
    assert (config.source, len(config.modules)) == (str(file), 2)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.yaml", REGISTRY, {})
    assert str(caught.value) == (
        f"{tmp_path}/none.yaml: there is no such file; "
        "name another with --config, or use --use-default-config"
    )


def test_the_config_file_of_a_directory_is_found_by_its_usual_names(tmp_path: Path) -> None:
    assert find_config(tmp_path) is None
    (tmp_path / "config.yaml").touch()
    assert find_config(tmp_path) == tmp_path / "config.yaml"
    (tmp_path / "iii-config.yaml").touch()
    assert find_config(tmp_path) == tmp_path / "iii-config.yaml"


@pytest.mark.parametrize(
    ("command_line", "config", "environment", "host"),
    [
        ("a", "b", {"III_HOST": "c"}, "a"),
        (None, "b", {"III_HOST": "c"}, "b"),
        (None, None, {"III_HOST": "c"}, "c"),
        (None, None, {"III_HOST": ""}, None),
        (None, None, {}, None),
    ],
)
def test_the_command_line_comes_before_the_config_and_that_before_the_environment(
    command_line: str | None, config: str | None, environment: dict[str, str], host: str | None
) -> None:
    assert resolve_host(command_line, config, environment) == host
