"""Where state and KV entries may be kept, as configs name it, and the stores behind the names."""

from __future__ import annotations

import logging
from typing import Literal

from django.db import models
from pydantic import Field

from engine.core.modules import Adapter, AdapterRegistry, Module, ModuleConfig
from kv.stores.base import Store
from kv.stores.database import Database
from kv.stores.memory import MemoryStore

logger = logging.getLogger(__name__)

PATH_OPTIONS = {"file_path", "save_interval_ms"}
"""The options of a file store that a database does not need."""


class KvStoreOptions(ModuleConfig):
    """The options of every store that the original keeps in memory or in files."""

    store_method: Literal["file_based", "in_memory"] = Field(
        default="file_based",
        description="in_memory: lost at the end; file_based: durable, in the engine's database",
    )
    file_path: str = Field(
        default="kv_store_data.db", description="accepted without effect, see store_method"
    )
    save_interval_ms: int = Field(
        default=5_000, ge=0, description="accepted without effect: writes are committed at once"
    )


class RedisOptions(ModuleConfig):
    """The options of the Redis adapter."""

    redis_url: str = Field(
        default="redis://localhost:6379",
        description="accepted without effect: values are rows in the engine's database",
    )


class BridgeOptions(ModuleConfig):
    """The options of the adapter that uses another engine."""

    bridge_url: str = Field(
        default="ws://localhost:49134", description="worker port of the other engine"
    )


class StateKvStore(Adapter):
    """State in the engine's database, or in memory if `store_method` says so."""

    class_path = "modules::state::adapters::KvStore"
    aliases = ("kv",)
    Config = KvStoreOptions


class StateRedis(Adapter):
    """State where Redis was meant: in the engine's database, which is durable, too."""

    class_path = "modules::state::adapters::RedisAdapter"
    aliases = ("redis",)
    Config = RedisOptions


class StateBridge(Adapter):
    """State of another engine; not built yet."""

    class_path = "modules::state::adapters::Bridge"
    aliases = ("bridge",)
    Config = BridgeOptions


STATE_ADAPTERS = AdapterRegistry(StateKvStore, StateRedis, StateBridge)


def note_unused_path(who: str, options: KvStoreOptions, what: str, place: str) -> None:
    """Say at start where things are, if a config names a file for them.

    Args:
        who: the module.
        options: its adapter's, or its own.
        what: is kept: `every message`.
        place: where it really is.
    """
    if options.model_fields_set & PATH_OPTIONS:
        logger.info(
            "%s: file_path %s (saved every %d ms) is accepted without effect: "
            "%s is a row in the engine's database, %s",
            who,
            options.file_path,
            options.save_interval_ms,
            what,
            place,
        )


def open_store(
    module: Module,
    name: str,
    model: type[models.Model],
    columns: tuple[str, ...],
    options: ModuleConfig,
) -> Store:
    """Return the store that a module's options ask for; say where it is if they say otherwise.

    Args:
        module: whose store it is.
        name: of the store.
        model: its table.
        columns: those of its keys.
        options: of the module's adapter, or its own.

    Raises:
        StartError: it needs a database, and this engine has none.
    """
    who = module.class_path
    if isinstance(options, KvStoreOptions) and options.store_method == "in_memory":
        store: Store = MemoryStore(name)
        logger.warning("%s: store_method in_memory: everything is lost when the engine stops", name)
        return store
    store = module.engine.service(Database).entries(name, model, columns)
    if isinstance(options, KvStoreOptions):
        note_unused_path(who, options, "everything stored", store.place)
    elif isinstance(options, RedisOptions):
        logger.info("%s: instead of Redis, the engine's database keeps it: %s", who, store.place)
    elif isinstance(options, BridgeOptions):
        logger.warning(
            "%s: the bridge to %s is not built yet: the engine's own database keeps it, %s",
            who,
            options.bridge_url,
            store.place,
        )
    return store
