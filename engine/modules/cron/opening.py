"""The store behind the adapter that a config names; where it is, is said at start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.core.modules import ModuleConfig
from engine.modules.cron.config import KvCronOptions, RedisCronOptions
from kv.adapters import note_unused_path
from kv.stores.database import Database

if TYPE_CHECKING:
    from engine.core.modules import Module
    from engine.modules.cron.store.store import CronStore

logger = logging.getLogger(__name__)


def open_store(module: Module, options: ModuleConfig) -> CronStore:
    """Return the store; say where it is if an adapter's options say otherwise.

    Args:
        module: whose store it is.
        options: of the adapter.

    Raises:
        StartError: this engine has no database.
    """
    from engine.modules.cron.store.store import CronStore  # needs Django's apps

    store = CronStore(module.engine.service(Database))
    who = module.class_path
    if isinstance(options, RedisCronOptions):
        logger.info(
            "%s: Redis keeps no locks: schedules and their ticks are rows in %s", who, store.place
        )
    elif isinstance(options, KvCronOptions):
        if options.store_method == "in_memory":
            logger.info(
                "%s: store_method in_memory is accepted without effect: schedules and their "
                "ticks are rows in the engine's database, %s",
                who,
                store.place,
            )
        else:
            note_unused_path(who, options, "every schedule", store.place)
    return store
