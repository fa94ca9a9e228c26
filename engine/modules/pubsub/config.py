"""The options of the pub/sub module, and the adapters that it may name."""

from __future__ import annotations

from pydantic import Field

from engine.core.modules import Adapter, AdapterChoice, AdapterRegistry, ModuleConfig


class LocalPubSub(Adapter):
    """Messages inside this engine."""

    class_path = "modules::pubsub::LocalAdapter"
    aliases = ("local",)


class RedisOptions(ModuleConfig):
    """The options of the Redis adapter."""

    redis_url: str = Field(
        default="redis://localhost:6379",
        description="not used yet: messages reach the subscribers of this engine",
    )


class PubSubRedis(Adapter):
    """Messages to every engine at one Redis; until that is built, inside this engine."""

    class_path = "modules::pubsub::RedisAdapter"
    aliases = ("redis",)
    Config = RedisOptions


PUBSUB_ADAPTERS = AdapterRegistry(LocalPubSub, PubSubRedis)


class PubSubConfig(ModuleConfig):
    """Everything that a config may say about the pub/sub module."""

    adapter: AdapterChoice = Field(
        default_factory=PUBSUB_ADAPTERS.default_choice, description="how far messages reach"
    )
