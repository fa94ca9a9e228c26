"""What reaches out of the engine: other engines, processes, HTTP services. Not built yet."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.core.modules import Adapter, AdapterChoice, AdapterRegistry, AnyModuleConfig
from engine.modules.planned.base import BridgeAdapter, PlannedModule


class BridgeClientConfig(AnyModuleConfig):
    """The options of the bridge."""

    url: str | None = Field(
        default=None, description="worker port of the other engine; $III_BRIDGE_URL if absent"
    )
    service_id: str | None = Field(default=None, description="service to register there")
    service_name: str | None = Field(default=None, description="its display name")
    expose: list[Any] = Field(
        default_factory=list, description="own functions that the other engine may call"
    )
    forward: list[Any] = Field(
        default_factory=list, description="functions of the other engine to offer here"
    )


class BridgeClientModule(PlannedModule):
    """Functions shared with another engine."""

    class_path = "modules::bridge_client::BridgeClientModule"
    aliases = ("iii-bridge",)
    Config = BridgeClientConfig


class ExecConfig(AnyModuleConfig):
    """The options of a process pipeline."""

    exec: list[str] = Field(description="shell commands, run one after another")
    watch: list[str] | None = Field(
        default=None, description="patterns of files whose change starts the commands again"
    )


class ExecModule(PlannedModule):
    """Commands that the engine starts beside itself; each entry is a pipeline of its own."""

    class_path = "modules::shell::ExecModule"
    aliases = ("iii-exec",)
    Config = ExecConfig
    repeatable = True


class HttpFunctionsConfig(AnyModuleConfig):
    """The options of functions that are HTTP services."""

    security: dict[str, Any] = Field(
        default_factory=dict,
        description="url_allowlist ([*]), block_private_ips (true), require_https (true)",
    )


class HttpFunctionsModule(PlannedModule):
    """Functions that are calls of an HTTP service."""

    class_path = "modules::http_functions::HttpFunctionsModule"
    aliases = ("iii-http-functions",)
    Config = HttpFunctionsConfig


class FileConfigurationOptions(AnyModuleConfig):
    """The options of settings in files."""

    directory: str = Field(default="./config", description="the directory, one file an entry")


class FileConfiguration(Adapter):
    """Settings in files."""

    class_path = "fs"
    Config = FileConfigurationOptions


class BridgeConfiguration(BridgeAdapter):
    """Settings of another engine."""

    class_path = "bridge"


CONFIGURATION_ADAPTERS = AdapterRegistry(FileConfiguration, BridgeConfiguration)


class ConfigurationConfig(AnyModuleConfig):
    """The options of the configuration module."""

    adapter: AdapterChoice = Field(
        default_factory=CONFIGURATION_ADAPTERS.default_choice, description="where settings are"
    )
    ttl_seconds: int = Field(default=0, ge=0, description="how long an entry lives; 0 for ever")


class ConfigurationModule(PlannedModule):
    """Settings that workers register, read and change."""

    class_path = "configuration"
    Config = ConfigurationConfig
    adapters = CONFIGURATION_ADAPTERS
