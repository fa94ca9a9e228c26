"""What the modules that are not built yet have in common, and the options of their adapters."""

from __future__ import annotations

from pydantic import Field

from engine.core.modules import Adapter, AnyModuleConfig, Module


class PlannedModule(Module):
    """A module that configs may name and that does nothing yet; the start banner says so."""

    built = False


class RedisOptions(AnyModuleConfig):
    """The options of every Redis adapter."""

    redis_url: str = Field(default="redis://localhost:6379", description="where Redis listens")


class BridgeOptions(AnyModuleConfig):
    """The options of every adapter that uses another engine."""

    bridge_url: str = Field(
        default="ws://localhost:49134", description="worker port of the other engine"
    )


class RedisAdapter(Adapter):
    """A store or a channel in Redis."""

    Config = RedisOptions


class BridgeAdapter(Adapter):
    """A store or a channel of another engine."""

    Config = BridgeOptions
