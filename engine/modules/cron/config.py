"""The options of the cron module, and the adapters that it may name."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from engine.core.modules import Adapter, AdapterChoice, AdapterRegistry, ModuleConfig
from kv.adapters import KvStoreOptions

MAX_RETENTION_DAYS: Final = 3_650
MAX_RETENTION_COUNT: Final = 1_000_000


class KvCronOptions(KvStoreOptions):
    """The options of schedules in the engine's database."""

    lock_ttl_ms: int = Field(
        default=30_000,
        ge=1,
        description="accepted without effect: a tick is claimed once, for as long as its engine "
        "lives",
    )
    lock_index: str = Field(
        default="cron_locks", description="accepted without effect: there are no locks"
    )


class KvCronAdapter(Adapter):
    """Schedules and their ticks in the engine's database."""

    class_path = "modules::cron::KvCronAdapter"
    aliases = ("kv",)
    Config = KvCronOptions


class RedisCronOptions(ModuleConfig):
    """The options of the Redis adapter."""

    redis_url: str = Field(
        default="redis://localhost:6379",
        description="accepted without effect: schedules are rows in the engine's database",
    )


class RedisCronAdapter(Adapter):
    """Schedules where locks in Redis were meant: in the engine's database, which needs none."""

    class_path = "modules::cron::RedisCronAdapter"
    aliases = (
        "modules::cron::adapters::RedisAdapter",
        "modules::cron::adapters::RedisCronAdapter",
        "redis",
    )
    Config = RedisCronOptions


CRON_ADAPTERS: Final = AdapterRegistry(KvCronAdapter, RedisCronAdapter)


class CronConfig(ModuleConfig):
    """Everything that a config may say about the cron module."""

    adapter: AdapterChoice = Field(
        default_factory=CRON_ADAPTERS.default_choice, description="where schedules are kept"
    )
    tick_retention_days: int = Field(
        default=30,
        ge=1,
        le=MAX_RETENTION_DAYS,
        description="ticks that are over are deleted after so many days",
    )
    tick_retention_count: int = Field(
        default=1_000,
        ge=1,
        le=MAX_RETENTION_COUNT,
        description="of each schedule so many ticks are kept at most",
    )
