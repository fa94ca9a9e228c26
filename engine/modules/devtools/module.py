"""What early engines served to their console; ours needs no module for it."""

from __future__ import annotations

from pydantic import Field

from engine.core.modules import Module, ModuleConfig


class DevToolsConfig(ModuleConfig):
    """The options that configs of early engines give it; none has an effect."""

    enabled: bool = Field(default=True, description="no effect")
    api_prefix: str = Field(default="", description="no effect")
    metrics_enabled: bool = Field(default=True, description="no effect")
    metrics_interval: int = Field(default=0, description="no effect")


class DevToolsModule(Module):
    """Keeps configs that name it valid and does nothing."""

    class_path = "modules::devtools::DevToolsModule"
    Config = DevToolsConfig
