from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from engine.core.config import builtin_config, check_document, load_config
from engine.core.errors import ConfigError, StartError
from engine.core.modules import Adapter, Module, ModuleConfig, ModuleRegistry
from engine.core.yaml_source import parse_document
from engine.modules.catalogue import (
    BUILT_IN,
    ENTRY_POINT_GROUP,
    installed_modules,
    load_modules,
)

SAMPLE = Path(__file__).parents[3] / "data" / "iii-config.yaml"

MODULE_SPELLINGS = {
    "modules::stream::StreamModule": ("modules::streams::StreamModule", "iii-stream"),
    "modules::state::StateModule": ("iii-state", "state"),
    "modules::kv_server::KvServer": (),
    "modules::api::RestApiModule": ("modules::rest_api::RestApiModule", "iii-http", "http"),
    "modules::queue::QueueModule": ("modules::event::EventModule", "iii-queue", "queue"),
    "modules::pubsub::PubSubModule": ("iii-pubsub", "pubsub"),
    "modules::cron::CronModule": ("iii-cron", "cron"),
    "modules::observability::OtelModule": (
        "modules::observability::ObservabilityModule",
        "iii-observability",
    ),
    "modules::observability::LoggingModule": (),
    "modules::bridge_client::BridgeClientModule": ("iii-bridge",),
    "modules::shell::ExecModule": ("iii-exec",),
    "modules::http_functions::HttpFunctionsModule": ("iii-http-functions",),
    "modules::worker::WorkerModule": ("iii-engine-functions", "iii-worker-manager"),
    "modules::telemetry::TelemetryModule": ("iii-telemetry",),
    "modules::devtools::DevToolsModule": (),
    "configuration": (),
}

ADAPTER_SPELLINGS = {
    "modules::stream::StreamModule": (
        "modules::stream::adapters::KvStore",
        "modules::streams::adapters::KvStore",
        "kv",
        "modules::streams::adapters::RedisAdapter",
        "modules::stream::adapters::RedisAdapter",
        "redis",
        "modules::stream::adapters::Bridge",
        "modules::streams::adapters::Bridge",
        "bridge",
    ),
    "modules::state::StateModule": (
        "modules::state::adapters::KvStore",
        "kv",
        "modules::state::adapters::RedisAdapter",
        "redis",
        "modules::state::adapters::Bridge",
        "bridge",
    ),
    "modules::queue::QueueModule": (
        "modules::queue::BuiltinQueueAdapter",
        "modules::event::BuiltinQueueAdapter",
        "modules::event::adapters::InMemoryAdapter",
        "builtin",
        "modules::queue::RedisAdapter",
        "modules::queue::adapters::RedisAdapter",
        "modules::event::RedisAdapter",
        "modules::event::adapters::RedisAdapter",
        "redis",
        "modules::queue::RabbitMQAdapter",
        "rabbitmq",
        "modules::queue::adapters::Bridge",
        "bridge",
    ),
    "modules::pubsub::PubSubModule": (
        "modules::pubsub::LocalAdapter",
        "local",
        "modules::pubsub::RedisAdapter",
        "redis",
    ),
    "modules::cron::CronModule": (
        "modules::cron::KvCronAdapter",
        "kv",
        "modules::cron::RedisCronAdapter",
        "modules::cron::adapters::RedisAdapter",
        "modules::cron::adapters::RedisCronAdapter",
        "redis",
    ),
    "modules::observability::LoggingModule": (
        "modules::observability::adapters::FileLogger",
        "modules::observability::adapters::RedisLogger",
    ),
}

ON_BY_DEFAULT = {
    "modules::stream::StreamModule",
    "modules::state::StateModule",
    "modules::kv_server::KvServer",
    "modules::api::RestApiModule",
    "modules::queue::QueueModule",
    "modules::pubsub::PubSubModule",
    "modules::cron::CronModule",
    "modules::observability::OtelModule",
    "modules::observability::LoggingModule",
    "modules::worker::WorkerModule",
}

MANDATORY = {"modules::worker::WorkerModule"}


@pytest.fixture(scope="module")
def registry() -> ModuleRegistry:
    return load_modules(BUILT_IN, [])


def test_every_module_of_every_generation_has_all_its_spellings(registry: ModuleRegistry) -> None:
    found = {module.class_path: set(module.aliases) for module in registry}
    assert found == {name: set(aliases) for name, aliases in MODULE_SPELLINGS.items()}


@pytest.mark.parametrize(
    ("module", "adapter"),
    [(module, each) for module, known in ADAPTER_SPELLINGS.items() for each in known],
)
def test_every_adapter_is_accepted_by_every_spelling(
    registry: ModuleRegistry, module: str, adapter: str
) -> None:
    source = f"modules: [{{class: {module}, config: {{adapter: {{class: {adapter}}}}}}}]"
    check_document(parse_document(source, "iii.yaml", {}), registry)


def test_the_sample_configuration_is_accepted_to_the_letter(registry: ModuleRegistry) -> None:
    config = load_config(SAMPLE, registry, {})
    assert [each.name.split("::")[-1] for each in config.modules] == [
        "StreamModule",
        "StateModule",
        "RestApiModule",
        "OtelModule",
        "QueueModule",
        "PubSubModule",
        "CronModule",
        "KvServer",
        "LoggingModule",
        "BridgeClientModule",
        "ExecModule",
        "WorkerModule",
    ]


def test_the_default_config_has_neither_processes_nor_bridges(registry: ModuleRegistry) -> None:
    assert {each.name for each in builtin_config(registry).modules} == ON_BY_DEFAULT
    assert {each.class_path for each in registry if each.mandatory} == MANDATORY


def test_newer_configs_list_the_worker_module_in_two_parts(registry: ModuleRegistry) -> None:
    source = "workers: [{name: iii-engine-functions}, {name: iii-worker-manager}]"
    config = check_document(parse_document(source, "iii.yaml", {}), registry)
    assert {each.name for each in config.modules} == MANDATORY


def test_processes_may_be_listed_several_times(registry: ModuleRegistry) -> None:
    entry = "{class: iii-exec, config: {exec: [a]}}"
    source = f"modules: [{entry}, {entry}]"
    config = check_document(parse_document(source, "iii.yaml", {}), registry)
    assert [each.name for each in config.modules][:2] == [
        "modules::shell::ExecModule#1",
        "modules::shell::ExecModule#2",
    ]


PLANNED = sorted(
    {*ADAPTER_SPELLINGS}
    - {
        "modules::queue::QueueModule",
        "modules::state::StateModule",
        "modules::pubsub::PubSubModule",
        "modules::stream::StreamModule",
        "modules::cron::CronModule",
    }
)


@pytest.mark.parametrize("module", [*PLANNED, "modules::telemetry::TelemetryModule"])
def test_modules_that_are_not_built_yet_ignore_options_that_they_do_not_know(
    registry: ModuleRegistry, module: str
) -> None:
    source = f"modules: [{{class: {module}, config: {{something_new: 1}}}}]"
    check_document(parse_document(source, "iii.yaml", {}), registry)


def test_modules_that_are_not_built_yet_refuse_adapters_that_nobody_knows(
    registry: ModuleRegistry,
) -> None:
    source = "modules: [{class: iii-stream, config: {adapter: {class: sqlite}}}]"
    with pytest.raises(ConfigError, match="Adapter factory 'sqlite' not found; available: "):
        check_document(parse_document(source, "iii.yaml", {}), registry)


def test_every_option_is_described(registry: ModuleRegistry) -> None:
    things: list[type[Module] | type[Adapter]] = [*registry]
    things += [adapter for module in registry for adapter in module.adapters or ()]
    missing = [
        f"{thing.class_path} {name}"
        for thing in things
        for name, field in thing.Config.model_fields.items()
        if not field.description
    ]
    assert missing == []


class Installed(Module):
    class_path = "acme::Installed"
    aliases = ("acme",)
    Config = ModuleConfig


class Unnamed(Module):
    """Has no class path."""


NOT_A_MODULE = 5


def entry_point(name: str) -> EntryPoint:
    return EntryPoint("acme", f"{__name__}:{name}", ENTRY_POINT_GROUP)


def test_an_installed_package_brings_modules() -> None:
    registry = load_modules([], [entry_point("Installed")])
    assert registry.resolve("acme") is Installed


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Missing", "AttributeError: module"),
        ("NOT_A_MODULE", "TypeError: it is not a subclass of engine.core.modules.Module"),
        ("Unnamed", "TypeError: it has no class_path"),
    ],
)
def test_a_broken_module_of_a_package_is_told_with_its_origin(name: str, reason: str) -> None:
    message = (
        f"an installed package brings the module 'acme' ({__name__}:{name}), "
        f"which cannot be used: {reason}"
    )
    with pytest.raises(StartError, match=f"^{re.escape(message)}"):
        load_modules([], [entry_point(name)])


def test_a_package_cannot_take_the_name_of_another() -> None:
    twice = [entry_point("Installed"), entry_point("Installed")]
    with pytest.raises(
        StartError, match="ValueError: module 'acme::Installed' is registered twice"
    ):
        load_modules([], twice)


def test_all_that_is_installed_loads() -> None:
    assert len(list(installed_modules())) >= len(BUILT_IN)
