"""Queue and cron: not built yet."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.core.modules import Adapter, AdapterChoice, AdapterRegistry, AnyModuleConfig
from engine.modules.planned.base import (
    BridgeAdapter,
    KvStoreAdapter,
    KvStoreOptions,
    PlannedModule,
    RedisAdapter,
)


class BuiltinQueueOptions(KvStoreOptions):
    """The options of the queue in the engine's database."""

    max_attempts: int = Field(default=3, ge=0, description="deliveries of one message at most")
    backoff_ms: int = Field(default=1_000, ge=0, description="wait before the first retry")
    concurrency: int = Field(
        default=10, ge=1, description="deliveries at the same time, for one subscription"
    )
    poll_interval_ms: int = Field(default=100, ge=0, description="accepted without effect")
    mode: str = Field(default="concurrent", description="concurrent or fifo")
    channel_size: int = Field(default=256, ge=1, description="accepted without effect")


class BuiltinQueueAdapter(KvStoreAdapter):
    """Messages in the engine's database."""

    class_path = "modules::queue::BuiltinQueueAdapter"
    aliases = (
        "modules::event::BuiltinQueueAdapter",
        "modules::event::adapters::InMemoryAdapter",
        "builtin",
    )
    Config = BuiltinQueueOptions


class QueueRedis(RedisAdapter):
    """Messages through Redis."""

    class_path = "modules::queue::RedisAdapter"
    aliases = (
        "modules::queue::adapters::RedisAdapter",
        "modules::event::RedisAdapter",
        "modules::event::adapters::RedisAdapter",
        "redis",
    )


class RabbitMqOptions(AnyModuleConfig):
    """The options of the RabbitMQ adapter."""

    amqp_url: str = Field(default="amqp://localhost:5672", description="where RabbitMQ listens")
    max_attempts: int = Field(default=3, ge=0, description="deliveries of one message at most")
    prefetch_count: int = Field(default=10, ge=1, description="messages fetched ahead")
    queue_mode: str = Field(default="standard", description="standard or fifo")


class RabbitMqAdapter(Adapter):
    """Messages through RabbitMQ."""

    class_path = "modules::queue::RabbitMQAdapter"
    aliases = ("rabbitmq",)
    Config = RabbitMqOptions


class QueueBridge(BridgeAdapter):
    """Messages through another engine."""

    class_path = "modules::queue::adapters::Bridge"
    aliases = ("bridge",)


QUEUE_ADAPTERS = AdapterRegistry(BuiltinQueueAdapter, QueueRedis, RabbitMqAdapter, QueueBridge)


class QueueConfig(AnyModuleConfig):
    """The options of the queue module."""

    adapter: AdapterChoice = Field(
        default_factory=QUEUE_ADAPTERS.default_choice, description="where the messages wait"
    )
    queue_configs: dict[str, Any] = Field(
        default_factory=dict, description="named queues and their options"
    )


class QueueModule(PlannedModule):
    """Messages by topic, delivered to functions with retries."""

    class_path = "modules::queue::QueueModule"
    aliases = ("modules::event::EventModule", "iii-queue", "queue")
    Config = QueueConfig
    adapters = QUEUE_ADAPTERS
    on_by_default = True


class KvCronOptions(KvStoreOptions):
    """The options of schedules in the engine's database."""

    lock_ttl_ms: int = Field(default=30_000, ge=1, description="how long a tick stays claimed")
    lock_index: str = Field(default="cron_locks", description="accepted without effect")


class KvCronAdapter(KvStoreAdapter):
    """Schedules in the engine's database."""

    class_path = "modules::cron::KvCronAdapter"
    aliases = ("kv",)
    Config = KvCronOptions


class RedisCronAdapter(RedisAdapter):
    """Schedules locked through Redis."""

    class_path = "modules::cron::RedisCronAdapter"
    aliases = (
        "modules::cron::adapters::RedisAdapter",
        "modules::cron::adapters::RedisCronAdapter",
        "redis",
    )


CRON_ADAPTERS = AdapterRegistry(KvCronAdapter, RedisCronAdapter)


class CronConfig(AnyModuleConfig):
    """The options of the cron module."""

    adapter: AdapterChoice = Field(
        default_factory=CRON_ADAPTERS.default_choice, description="how ticks are claimed"
    )


class CronModule(PlannedModule):
    """Functions called by the clock."""

    class_path = "modules::cron::CronModule"
    aliases = ("iii-cron", "cron")
    Config = CronConfig
    adapters = CRON_ADAPTERS
    on_by_default = True
