"""The options of the queue module, and the adapters that it may name."""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import Field, model_validator

from engine.core.modules import Adapter, AdapterChoice, AdapterRegistry, ModuleConfig
from engine.modules.queue.adapters.base import Policy
from engine.modules.queue.policy import MAX_ATTEMPTS, MAX_CONCURRENCY, MAX_TIME_MS
from kv.adapters import KvStoreOptions

logger = logging.getLogger(__name__)


class BuiltinQueueOptions(KvStoreOptions):
    """The options of the queue in the engine's database."""

    max_attempts: int = Field(
        default=3, ge=0, le=MAX_ATTEMPTS, description="deliveries of one message; 0 means 1"
    )
    backoff_ms: int = Field(
        default=1_000,
        ge=0,
        le=MAX_TIME_MS,
        description="wait before the second delivery, doubled with each further one",
    )
    concurrency: int = Field(
        default=10,
        ge=1,
        le=MAX_CONCURRENCY,
        description="deliveries at the same time, for one subscription; with mode fifo groups, "
        "1 if absent",
    )
    poll_interval_ms: int = Field(
        default=100, ge=0, description="accepted without effect: messages are picked up at once"
    )
    mode: str = Field(
        default="concurrent", description="fifo: in order; anything else: at the same time"
    )
    channel_size: int = Field(default=256, ge=1, description="accepted without effect")

    def policy(self) -> Policy:
        """Return how messages are delivered where a trigger says nothing else."""
        is_fifo = self.mode == "fifo"
        has_concurrency = "concurrency" in self.model_fields_set
        return Policy(
            is_fifo=is_fifo,
            concurrency=1 if is_fifo and not has_concurrency else self.concurrency,
            max_attempts=max(1, self.max_attempts),
            backoff_ms=self.backoff_ms,
        )


class BuiltinQueueAdapter(Adapter):
    """Messages in the engine's database, or in memory if `store_method` says so."""

    class_path = "modules::queue::BuiltinQueueAdapter"
    aliases = (
        "modules::event::BuiltinQueueAdapter",
        "modules::event::adapters::InMemoryAdapter",
        "builtin",
    )
    Config = BuiltinQueueOptions


class RedisQueueOptions(ModuleConfig):
    """The options of the Redis adapter."""

    redis_url: str = Field(
        default="redis://localhost:6379",
        description="accepted without effect: messages are rows in the engine's database",
    )


class QueueRedis(Adapter):
    """Messages where Redis was meant: in the engine's database, which keeps and repeats them."""

    class_path = "modules::queue::RedisAdapter"
    aliases = (
        "modules::queue::adapters::RedisAdapter",
        "modules::event::RedisAdapter",
        "modules::event::adapters::RedisAdapter",
        "redis",
    )
    Config = RedisQueueOptions


class RabbitMqOptions(ModuleConfig):
    """The options of the RabbitMQ adapter."""

    amqp_url: str = Field(
        default="amqp://localhost:5672",
        description="accepted without effect: messages are rows in the engine's database",
    )
    max_attempts: int = Field(
        default=3, ge=0, le=MAX_ATTEMPTS, description="deliveries of one message; 0 means 1"
    )
    prefetch_count: int = Field(
        default=10,
        ge=1,
        le=MAX_CONCURRENCY,
        description="deliveries at the same time, for one subscription",
    )
    queue_mode: str = Field(
        default="standard", description="fifo: in order; anything else: at the same time"
    )

    def policy(self) -> Policy:
        """Return how messages are delivered where a trigger says nothing else."""
        is_fifo = self.queue_mode == "fifo"
        return Policy(
            is_fifo=is_fifo,
            concurrency=1 if is_fifo else self.prefetch_count,
            max_attempts=max(1, self.max_attempts),
        )


class RabbitMqAdapter(Adapter):
    """Messages where RabbitMQ was meant: in the engine's database."""

    class_path = "modules::queue::RabbitMQAdapter"
    aliases = ("rabbitmq",)
    Config = RabbitMqOptions


class QueueBridgeOptions(ModuleConfig):
    """The options of the adapter that uses another engine."""

    bridge_url: str = Field(
        default="ws://localhost:49134",
        description="not built yet: messages are rows in the engine's own database",
    )


class QueueBridge(Adapter):
    """Messages of another engine; not built yet."""

    class_path = "modules::queue::adapters::Bridge"
    aliases = ("bridge",)
    Config = QueueBridgeOptions


QUEUE_ADAPTERS = AdapterRegistry(BuiltinQueueAdapter, QueueRedis, RabbitMqAdapter, QueueBridge)


def adapter_policy(options: ModuleConfig) -> Policy:
    """Return the policy that an adapter's options say, for triggers that say none."""
    if isinstance(options, (BuiltinQueueOptions, RabbitMqOptions)):
        return options.policy()
    return Policy()


class NamedQueueConfig(ModuleConfig):
    """One named queue: calls with `action: enqueue` wait in it."""

    type: Literal["standard", "fifo"] = Field(
        default="standard", description="fifo: one at a time within a message group, in order"
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=MAX_CONCURRENCY,
        description="deliveries at the same time, 10 if absent; of fifo: groups, 1 if absent",
    )
    max_retries: int = Field(
        default=3,
        ge=0,
        le=MAX_ATTEMPTS,
        description="deliveries of one message in all; 0 and 1 both mean a single one",
    )
    backoff_ms: int = Field(
        default=1_000,
        ge=0,
        le=MAX_TIME_MS,
        description="wait before the second delivery, doubled with each further one",
    )
    poll_interval_ms: int = Field(
        default=100, ge=0, description="accepted without effect: messages are picked up at once"
    )
    message_group_field: str | None = Field(
        default=None,
        min_length=1,
        description="member of the payload that names the message group; fifo needs it",
    )
    max_priority: int | None = Field(default=None, ge=0, description="accepted without effect")
    priority_field: str | None = Field(default=None, description="accepted without effect")

    @model_validator(mode="after")
    def _check_group_field(self) -> NamedQueueConfig:
        if self.type == "fifo" and self.message_group_field is None:
            raise ValueError(
                "a queue of type fifo needs `message_group_field`: the member of the payload "
                "that names the message group"
            )
        return self

    @property
    def policy(self) -> Policy:
        """How its messages are delivered."""
        is_fifo = self.type == "fifo"
        return Policy(
            is_fifo=is_fifo,
            concurrency=self.concurrency or (1 if is_fifo else 10),
            max_attempts=max(1, self.max_retries),
            backoff_ms=self.backoff_ms,
        )


class QueueConfig(ModuleConfig):
    """Everything that a config may say about the queue module."""

    adapter: AdapterChoice = Field(
        default_factory=QUEUE_ADAPTERS.default_choice, description="where the messages wait"
    )
    queue_configs: dict[str, NamedQueueConfig] = Field(
        default_factory=dict,
        description="named queues by name, for calls with `action: enqueue`; `default` always "
        "exists",
    )

    def named_queues(self) -> dict[str, NamedQueueConfig]:
        """Return every named queue, `default` among them."""
        return {"default": NamedQueueConfig(), **self.queue_configs}
