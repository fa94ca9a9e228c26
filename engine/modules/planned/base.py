"""What the modules that are not built yet have in common, and the options of their adapters."""

from __future__ import annotations

import logging

from django.conf import settings
from pydantic import Field

from engine.core.modules import Adapter, AdapterChoice, AnyModuleConfig, Module

logger = logging.getLogger(__name__)


class PlannedModule(Module):
    """A module that configs may name and that does nothing yet but say so."""

    built = False

    async def start(self) -> None:
        """Say where the data of a configured path is; the start banner says what is not built."""
        choice = getattr(self.config, "adapter", None)
        options = choice.config if isinstance(choice, AdapterChoice) else self.config
        if isinstance(options, KvStoreOptions) and options.model_fields_set & PATH_OPTIONS:
            logger.info(
                "%s: file_path %s (saved every %d ms) is accepted without effect: "
                "everything stored is a row in the engine's database, %s",
                self.class_path,
                options.file_path,
                options.save_interval_ms,
                settings.DATABASES["default"]["NAME"],
            )


PATH_OPTIONS = {"file_path", "save_interval_ms"}
"""The options of a file store that a database does not need."""


class KvStoreOptions(AnyModuleConfig):
    """The options of every store that the original keeps in memory or in files."""

    store_method: str = Field(
        default="file_based",
        description="in_memory: lost at the end; file_based: durable, in the engine's database",
    )
    file_path: str = Field(
        default="kv_store_data.db", description="accepted without effect, see store_method"
    )
    save_interval_ms: int = Field(
        default=5_000, ge=0, description="accepted without effect: writes are committed at once"
    )


class RedisOptions(AnyModuleConfig):
    """The options of every Redis adapter."""

    redis_url: str = Field(default="redis://localhost:6379", description="where Redis listens")


class BridgeOptions(AnyModuleConfig):
    """The options of every adapter that uses another engine."""

    bridge_url: str = Field(
        default="ws://localhost:49134", description="worker port of the other engine"
    )


class KvStoreAdapter(Adapter):
    """A store of keys and values in the engine's own database."""

    Config = KvStoreOptions


class RedisAdapter(Adapter):
    """A store or a channel in Redis."""

    Config = RedisOptions


class BridgeAdapter(Adapter):
    """A store or a channel of another engine."""

    Config = BridgeOptions
