"""Cron: not built yet."""

from __future__ import annotations

from pydantic import Field

from engine.core.modules import AdapterChoice, AdapterRegistry, AnyModuleConfig
from engine.modules.planned.base import (
    KvStoreAdapter,
    KvStoreOptions,
    PlannedModule,
    RedisAdapter,
)


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
