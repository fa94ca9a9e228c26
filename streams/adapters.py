"""Where stream items may be kept, as configs name it."""

from __future__ import annotations

from pydantic import Field

from engine.core.modules import Adapter, AdapterRegistry
from kv.adapters import BridgeOptions, KvStoreOptions, RedisOptions


class StreamKvOptions(KvStoreOptions):
    """The options of the stream store."""

    channel_size: int = Field(
        default=256, ge=1, description="accepted without effect: each client has its own queue"
    )


class StreamKvStore(Adapter):
    """Stream items in the engine's database, or in memory if `store_method` says so."""

    class_path = "modules::stream::adapters::KvStore"
    aliases = ("modules::streams::adapters::KvStore", "kv")
    Config = StreamKvOptions


class StreamRedis(Adapter):
    """Stream items where Redis was meant: in the engine's database, which is durable, too."""

    class_path = "modules::streams::adapters::RedisAdapter"
    aliases = ("modules::stream::adapters::RedisAdapter", "redis")
    Config = RedisOptions


class StreamBridge(Adapter):
    """Stream items of another engine; not built yet."""

    class_path = "modules::stream::adapters::Bridge"
    aliases = ("modules::streams::adapters::Bridge", "bridge")
    Config = BridgeOptions


STREAM_ADAPTERS = AdapterRegistry(StreamKvStore, StreamRedis, StreamBridge)
