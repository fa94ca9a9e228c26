"""Writes triggers down behind the live registry, in batches, through the store executor.

Nothing waits for it and nothing fails because of it: an invocation or a registration never
touches the database. Changes of one trigger collapse into its latest state, so the backlog is
bounded by the number of triggers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import hashlib
import itertools
import logging
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from engine.core.triggers import Binding, Trigger
from engine.models import Trigger as TriggerRow
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor

logger = logging.getLogger(__name__)

# How long a detached trigger is remembered: SDKs make new ids with every process, so most of
# them never come back.
DETACHED_RETENTION: Final = dt.timedelta(days=7)
BATCH_SIZE: Final = 500
# More changes than this wait only while the database is away; the oldest are given up then.
MAX_PENDING: Final = 100_000
RETRY_INTERVAL_S: Final = 5.0
SWEEP_INTERVAL_S: Final = 3600.0
# How long a stopping engine waits for the last batch.
STOP_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Saved:
    """The latest state of a trigger; `detached_at` if its owner has gone since."""

    trigger: Trigger
    owner_id: str
    owner_name: str
    state: str
    error: str
    at: dt.datetime
    detached_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Detached:
    """The owner of a trigger that was written down before has gone."""

    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Removed:
    """A trigger was unregistered."""


Change: TypeAlias = Saved | Detached | Removed


class TriggerStore:
    """The journal of triggers in the database, see `engine.core.triggers.TriggerJournal`.

    Every method is called on the event loop; one batch at a time is on its way.

    Args:
        executor: what writes the database.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._pending: dict[tuple[str, str, str], Change] = {}
        self._writer: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    # --- the journal --------------------------------------------------------------------------

    def saved(self, binding: Binding) -> None:
        """Note the state of a trigger."""
        trigger = binding.trigger
        owner = trigger.owner
        change = Saved(
            trigger=trigger,
            owner_id="" if owner is None else owner.worker_id,
            owner_name="" if owner is None else owner.name or "",
            state=binding.state.value,
            error=binding.error.decode(errors="replace"),
            at=dt.datetime.now(dt.UTC),
        )
        self._note(trigger, change)

    def detached(self, trigger: Trigger) -> None:
        """Note that a trigger's owner has gone."""
        self._note(trigger, Detached(dt.datetime.now(dt.UTC)))

    def removed(self, trigger: Trigger) -> None:
        """Note that a trigger was unregistered."""
        self._note(trigger, Removed())

    def _note(self, trigger: Trigger, change: Change) -> None:
        key = (trigger.id, trigger.trigger_type, trigger.function_id)
        self._pending[key] = _latest(self._pending.pop(key, None), change)
        if len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> list[Trigger]:
        """Begin to write; return the triggers that belong to nobody, to be live again.

        Whatever the last engine left as live is detached: its workers come back by themselves.

        Raises:
            StoreError: the database failed.
        """
        orphans = await self._executor.run(_take_over)
        self._sweep()
        return orphans

    async def stop(self) -> None:
        """Write what is noted; a database that is away is not waited for."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._writer is not None and not self._writer.done():
            _, late = await asyncio.wait({self._writer}, timeout=STOP_TIMEOUT_S)
            for each in late:
                each.cancel()
                logger.error("%d triggers were not written down", len(self._pending))

    async def _write_all(self) -> None:
        """Write batches until nothing is noted any more."""
        while self._pending:
            keys = list(itertools.islice(self._pending, BATCH_SIZE))
            batch = {key: self._pending.pop(key) for key in keys}
            try:
                await self._executor.run(lambda _, batch=batch: _write(batch))  # type: ignore[misc]
            except EngineError as error:
                logger.warning("triggers could not be written down, trying again: %s", error)
                # What was noted meanwhile is newer than the failed batch.
                for key, change in self._pending.items():
                    batch[key] = _latest(batch.get(key), change)
                self._pending = batch
                await asyncio.sleep(RETRY_INTERVAL_S)

    def _sweep(self) -> None:
        """Drop old triggers now and from time to time."""
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_INTERVAL_S, self._sweep)
        self._executor.run(_drop_old).then(_log_failure)


def _take_over(_: StoreConnection) -> list[Trigger]:
    now = dt.datetime.now(dt.UTC)
    TriggerRow.objects.filter(is_owned=True, detached_at=None).update(detached_at=now)
    return [_trigger(row) for row in TriggerRow.objects.filter(is_owned=False)]


def _drop_old(_: StoreConnection) -> None:
    limit = dt.datetime.now(dt.UTC) - DETACHED_RETENTION
    TriggerRow.objects.filter(detached_at__lt=limit).delete()


def _log_failure(dropped: Deferred[None]) -> None:
    if dropped.error is not None:
        logger.warning("old triggers could not be dropped, trying again later: %s", dropped.error)


def _latest(former: Change | None, change: Change) -> Change:
    """Return what two changes of one trigger come to."""
    if isinstance(change, Detached) and isinstance(former, Saved):
        return dataclasses.replace(former, detached_at=change.at)
    return change


def _write(batch: dict[tuple[str, str, str], Change]) -> None:
    identities = {key: _identity(key) for key in batch}
    saved = {key: change for key, change in batch.items() if isinstance(change, Saved)}
    removed = [identities[key] for key, change in batch.items() if isinstance(change, Removed)]
    TriggerRow.objects.bulk_create(
        [_row(identities[key], change) for key, change in saved.items()],
        update_conflicts=True,
        unique_fields=["identity"],
        update_fields=_UPDATED,
    )
    TriggerRow.objects.filter(identity__in=removed).delete()
    for key, change in batch.items():
        if isinstance(change, Detached):
            row = TriggerRow.objects.filter(identity=identities[key], is_owned=True)
            row.update(detached_at=change.at)


_UPDATED: Final = [
    "config",
    "metadata",
    "namespace",
    "trigger_namespace",
    "state",
    "error",
    "is_owned",
    "owner_id",
    "owner_name",
    "registered_at",
    "detached_at",
]


def _identity(key: tuple[str, str, str]) -> str:
    return hashlib.sha256("\0".join(key).encode(errors="replace")).hexdigest()


def _row(identity: str, saved: Saved) -> TriggerRow:
    trigger = saved.trigger
    return TriggerRow(
        identity=identity,
        trigger_id=_storable(trigger.id),
        trigger_type=_storable(trigger.trigger_type),
        function_id=_storable(trigger.function_id),
        config=trigger.config.decode(errors="replace"),
        metadata=(trigger.metadata or b"").decode(errors="replace"),
        namespace=_storable(trigger.namespace or ""),
        trigger_namespace=_storable(trigger.trigger_namespace or ""),
        state=saved.state,
        error=saved.error,
        is_owned=trigger.owner is not None,
        owner_id=saved.owner_id,
        owner_name=_storable(saved.owner_name),
        registered_at=saved.at,
        detached_at=saved.detached_at,
    )


def _storable(text: str) -> str:
    # PostgreSQL refuses the NUL character in texts; such an id is legal on the wire.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _trigger(row: TriggerRow) -> Trigger:
    return Trigger(
        id=row.trigger_id,
        trigger_type=row.trigger_type,
        function_id=row.function_id,
        config=row.config.encode(),
        metadata=row.metadata.encode() or None,
        namespace=row.namespace or None,
        trigger_namespace=row.trigger_namespace or None,
    )
