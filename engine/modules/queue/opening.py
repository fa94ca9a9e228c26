"""Which store stands behind the adapter that a config names; it is said at start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.core.modules import ModuleConfig
from engine.modules.queue.adapters.base import QueueStore
from engine.modules.queue.adapters.memory import MemoryQueueStore
from engine.modules.queue.config import (
    BuiltinQueueOptions,
    QueueBridgeOptions,
    RabbitMqOptions,
    RedisQueueOptions,
)
from kv.adapters import note_unused_path
from kv.stores.database import Database

if TYPE_CHECKING:
    from engine.core.modules import Module

logger = logging.getLogger(__name__)


def open_store(module: Module, options: ModuleConfig) -> QueueStore:
    """Return the store that an adapter's options ask for; say where it is if they say otherwise.

    Args:
        module: whose store it is.
        options: of the adapter.

    Raises:
        StartError: it needs a database, and this engine has none.
    """
    who = module.class_path
    if isinstance(options, BuiltinQueueOptions) and options.store_method == "in_memory":
        logger.warning("%s: store_method in_memory: messages are lost when the engine stops", who)
        return MemoryQueueStore()
    from engine.modules.queue.adapters.database import DatabaseQueueStore  # needs Django's apps

    store = DatabaseQueueStore(module.engine.service(Database))
    if isinstance(options, RabbitMqOptions):
        logger.info("%s: RabbitMQ is not used: messages wait in %s", who, store.place)
    elif isinstance(options, RedisQueueOptions):
        logger.info("%s: Redis keeps no messages: they wait in %s", who, store.place)
    elif isinstance(options, QueueBridgeOptions):
        logger.warning(
            "%s: the bridge to %s is not built yet: messages wait in the engine's own database, %s",
            who,
            options.bridge_url,
            store.place,
        )
    elif isinstance(options, BuiltinQueueOptions):
        note_unused_path(who, options, "every message", store.place)
    return store
