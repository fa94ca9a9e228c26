"""The lease of an engine in the database."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.db.models.functions import Now

import engine
from engine import node
from engine.models import EngineNode, live_nodes
from engine.node import NodeLease
from kv.stores.database import Database
from kv.stores.executor import Executor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def with_lease(
    act: Callable[[Executor, NodeLease], Awaitable[None]],
    *,
    is_sqlite: bool = False,
    data_dir: Path | None = None,
) -> None:
    """Hold a lease while something is done."""

    async def run() -> None:
        database = Database.open(is_sqlite=is_sqlite, description="test")
        database.start()
        lease = NodeLease(database, data_dir)
        await lease.start()
        try:
            await act(database.writer, lease)
        finally:
            await lease.stop()
            await database.stop()

    asyncio.run(run())


def add(seen_ago_s: float) -> uuid.UUID:
    seen_at = Now() - dt.timedelta(seconds=seen_ago_s)
    row = EngineNode.objects.create(
        id=uuid.uuid4(), hostname="h", pid=1, version="1", started_at=seen_at, seen_at=seen_at
    )
    return row.id


def ids() -> set[uuid.UUID]:
    return set(EngineNode.objects.values_list("id", flat=True))


def test_a_running_engine_is_known_until_it_stops() -> None:
    async def act(executor: Executor, lease: NodeLease) -> None:
        row = await executor.query(lambda _: live_nodes().get())
        assert (row.id, row.pid, row.version) == (lease.id, os.getpid(), engine.__version__)
        assert row.seen_at == row.started_at

    with_lease(act)
    assert not EngineNode.objects.exists()


@pytest.mark.parametrize("url", ["ws://engine-1:49134", None])
def test_its_row_says_where_celery_reaches_it_if_somebody_said_so(
    monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    monkeypatch.setattr(settings, "III_PUBLIC_URL", url)

    async def act(executor: Executor, lease: NodeLease) -> None:
        assert (await executor.query(lambda _: live_nodes().get())).url == (url or "")

    with_lease(act)


def test_a_lease_is_refreshed_and_comes_back_if_it_was_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node, "REFRESH_INTERVAL_S", 0.01)

    async def act(executor: Executor, lease: NodeLease) -> None:
        first = await executor.query(lambda _: EngineNode.objects.get())
        async with asyncio.timeout(10):
            while (
                await executor.query(lambda _: EngineNode.objects.get())
            ).seen_at <= first.seen_at:
                pass
            await executor.run(lambda _: EngineNode.objects.all().delete())
            while not await executor.query(lambda _: EngineNode.objects.exists()):
                pass

    with_lease(act)
    assert not EngineNode.objects.exists()


@pytest.mark.parametrize("is_sqlite", [True, False])
def test_engines_that_are_gone_are_dropped_by_the_next(is_sqlite: bool) -> None:
    live, _ = add(5), add(31)
    assert {each.id for each in live_nodes()} == {live}

    async def act(executor: Executor, lease: NodeLease) -> None:
        # Where the lock on the data directory decides, every other row is of the past.
        expected = {lease.id} if is_sqlite else {lease.id, live}
        assert await executor.query(lambda _: ids()) == expected

    with_lease(act, is_sqlite=is_sqlite)


def test_the_next_engine_of_a_data_directory_does_not_wait_for_the_lease_of_the_last(
    tmp_path: Path,
) -> None:
    former, other = add(5), add(5)

    async def act(executor: Executor, lease: NodeLease) -> None:
        assert await executor.query(lambda _: ids()) == {lease.id, other}

    (tmp_path / node.KEPT_ID_FILE).write_text(f"{former}\n")
    with_lease(act, data_dir=tmp_path)
    (tmp_path / node.KEPT_ID_FILE).write_text("no id")
    with_lease(act, data_dir=tmp_path)
