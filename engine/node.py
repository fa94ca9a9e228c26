"""The row by which others know that this engine runs: its lease on a shared database."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

import engine
from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from engine.models import NODE_LEASE, EngineNode
from kv.stores.connection import StoreConnection
from kv.stores.database import Database

logger = logging.getLogger(__name__)

REFRESH_INTERVAL_S: Final = 10.0

KEPT_ID_FILE: Final = "node_id"
"""In the data directory: the id of the engine that runs there, or ran there last."""


class NodeLease:
    """Keeps the row of this process from its start to its end.

    Args:
        database: whose `node_id` the row has. On SQLite the lock on the data directory says who
            runs, and the row is written once.
        data_dir: where the id is kept for the next engine of this directory, whose lock it holds:
            this one is gone then, and whatever it held is free at once.
        runs_schedules: whether the engine has the cron module.
    """

    def __init__(
        self, database: Database, data_dir: Path | None = None, *, runs_schedules: bool = True
    ) -> None:
        self.id = database.node_id
        self._runs_schedules = runs_schedules
        self._kept = None if data_dir is None else data_dir / KEPT_ID_FILE
        self._executor = database.writer
        self._is_sqlite = database.is_sqlite
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
            gone = gone.filter(Q(seen_at__lte=Now() - NODE_LEASE) | Q(id=self._former_id()))
        gone.delete()
        self._create()
        if self._kept is not None:
            self._kept.write_text(f"{self.id}\n")

    def _former_id(self) -> uuid.UUID | None:
        """Return the id of the engine that had this data directory last; None if none is kept."""
        try:
            return None if self._kept is None else uuid.UUID(self._kept.read_text().strip())
        except (OSError, ValueError):
            return None

    def _create(self) -> None:
        EngineNode.objects.create(
            id=self.id,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            version=engine.__version__,
            url=settings.III_PUBLIC_URL or "",
            runs_schedules=self._runs_schedules,
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
