"""The row by which others know that this engine runs: its lease on a shared database."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import socket
import uuid
from typing import Final

from django.db.models import QuerySet
from django.db.models.functions import Now

import engine
from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from engine.models import EngineNode
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor

logger = logging.getLogger(__name__)

REFRESH_INTERVAL_S: Final = 10.0
LEASE: Final = dt.timedelta(seconds=30)
"""How long an engine counts as live after it was seen: two refreshes may fail."""


def live_nodes() -> QuerySet[EngineNode]:
    """Return the engines that were seen within the lease, by the clock of the database."""
    return EngineNode.objects.filter(seen_at__gt=Now() - LEASE).order_by("started_at")


class NodeLease:
    """Keeps the row of this process from its start to its end.

    Args:
        executor: what writes the database.
        is_sqlite: the lock on the data directory says who runs; the row is written once.
    """

    def __init__(self, executor: Executor, *, is_sqlite: bool) -> None:
        self.id = uuid.uuid4()
        self._executor = executor
        self._is_sqlite = is_sqlite
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Write the row, and drop those of engines that are gone.

        Raises:
            StoreError: the database failed.
        """
        await self._executor.run(self._insert)
        self._schedule()

    async def stop(self) -> None:
        """Delete the row; where the database is away, the lease ends by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self._executor.run(self._delete)
        except EngineError as error:
            logger.warning("the engine could not say that it ends: %s", error)

    def _schedule(self) -> None:
        if not self._is_sqlite:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(REFRESH_INTERVAL_S, self._refresh)

    def _refresh(self) -> None:
        self._schedule()
        self._executor.run(self._update).then(_log_failure)

    # --- in the database thread ---------------------------------------------------------------

    def _insert(self, _: StoreConnection) -> None:
        gone = EngineNode.objects.all()
        if not self._is_sqlite:
            gone = gone.filter(seen_at__lte=Now() - LEASE)
        gone.delete()
        self._create()

    def _create(self) -> None:
        EngineNode.objects.create(
            id=self.id,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            version=engine.__version__,
            started_at=Now(),
            seen_at=Now(),
        )

    def _update(self, _: StoreConnection) -> None:
        # Another engine that started meanwhile drops the row of one that it took for dead.
        if not EngineNode.objects.filter(id=self.id).update(seen_at=Now()):
            self._create()

    def _delete(self, _: StoreConnection) -> None:
        EngineNode.objects.filter(id=self.id).delete()


def _log_failure(refreshed: Deferred[None]) -> None:
    if refreshed.error is not None:
        logger.warning("the engine could not refresh its lease: %s", refreshed.error)
