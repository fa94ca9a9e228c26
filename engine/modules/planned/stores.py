"""Streams, not built yet."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from engine.core.listeners import Listener
from engine.core.modules import AdapterChoice, AdapterRegistry, AnyModuleConfig
from engine.modules.planned.base import (
    BridgeAdapter,
    KvStoreAdapter,
    KvStoreOptions,
    PlannedModule,
    RedisAdapter,
)


class StreamKvOptions(KvStoreOptions):
    """The options of the stream store."""

    channel_size: int = Field(default=256, ge=1, description="how many events may wait")


class StreamKvStore(KvStoreAdapter):
    """Stream items in the engine's database."""

    class_path = "modules::stream::adapters::KvStore"
    aliases = ("modules::streams::adapters::KvStore", "kv")
    Config = StreamKvOptions


class StreamRedis(RedisAdapter):
    """Stream items in Redis."""

    class_path = "modules::streams::adapters::RedisAdapter"
    aliases = ("modules::stream::adapters::RedisAdapter", "redis")


class StreamBridge(BridgeAdapter):
    """Stream items of another engine."""

    class_path = "modules::stream::adapters::Bridge"
    aliases = ("modules::streams::adapters::Bridge", "bridge")


STREAM_ADAPTERS = AdapterRegistry(StreamKvStore, StreamRedis, StreamBridge)


class StreamConfig(AnyModuleConfig):
    """The options of the stream module."""

    port: int = Field(default=3112, ge=0, le=65_535, description="port of the stream WebSocket")
    host: str | None = Field(default=None, description="address to listen on")
    auth_function: str | None = Field(
        default=None, description="id of the function that makes the context of a client"
    )
    adapter: AdapterChoice = Field(
        default_factory=STREAM_ADAPTERS.default_choice, description="where the items are"
    )


class StreamModule(PlannedModule):
    """Live collections of items that browsers follow."""

    class_path = "modules::stream::StreamModule"
    aliases = ("modules::streams::StreamModule", "iii-stream")
    Config = StreamConfig
    adapters = STREAM_ADAPTERS
    on_by_default = True

    config: StreamConfig

    def listeners(self) -> Sequence[Listener]:
        """Hold the port: who connects is told that streams are not built."""
        return (
            Listener(
                room="streams",
                host=self.config.host,
                port=self.config.port,
                protocol="websocket",
                label="streams",
            ),
        )
