"""Triggers written down in the database behind the live registry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError

from engine import trigger_store
from engine.core.triggers import Trigger
from engine.models import Trigger as TriggerRow
from engine.trigger_store import TriggerStore
from kv.stores.executor import Executor
from tests.fakes import FakeWorker, make_engine

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def with_store(act: Callable[[FakeWorker], Any]) -> list[Trigger]:
    """Run an engine that writes its triggers down, and stop it; return what it took over."""

    async def run() -> list[Trigger]:
        executor = Executor()
        executor.start()
        store = TriggerStore(executor)
        orphans = await store.start()
        engine = make_engine(journal=store)
        await engine.start()
        done = act(FakeWorker(engine, {"name": "shop"}))
        if done is not None:
            await done
        await engine.stop(0)
        await store.stop()
        await executor.stop()
        return orphans

    return asyncio.run(run())


def nothing(_: FakeWorker) -> None:
    """Start and stop only."""


def rows(*fields: str) -> list[dict[str, Any]]:
    return list(TriggerRow.objects.order_by("trigger_id").values(*fields))


def test_a_trigger_is_kept_after_its_owner_left() -> None:
    def act(worker: FakeWorker) -> None:
        worker.trigger("t", "webhook", "f", config={"a": 1}, metadata={"m": 1})

    with_store(act)

    assert rows("trigger_id", "trigger_type", "function_id", "config", "metadata", "state") == [
        {
            "trigger_id": "t",
            "trigger_type": "webhook",
            "function_id": "f",
            "config": '{"a":1}',
            "metadata": '{"m":1}',
            "state": "pending",
        }
    ]
    row = TriggerRow.objects.get()
    assert (row.is_owned, row.owner_name) == (True, "shop")
    assert row.detached_at is not None


def test_an_unregistered_trigger_is_dropped() -> None:
    def act(worker: FakeWorker) -> None:
        worker.trigger("t", "webhook", "f")
        worker.trigger("u", "webhook", "f")
        worker.send("unregistertrigger", id="t")

    with_store(act)

    assert rows("trigger_id") == [{"trigger_id": "u"}]


def test_a_trigger_that_comes_back_is_the_same_row() -> None:
    for _ in range(2):
        with_store(lambda worker: worker.trigger("t", "webhook", "f"))

    assert TriggerRow.objects.count() == 1


def test_an_odd_id_is_storable() -> None:
    with_store(lambda worker: worker.trigger("nul\0" + "x" * 5000, "webhook", "f"))

    assert TriggerRow.objects.get().trigger_id.startswith("nul\N{REPLACEMENT CHARACTER}")


def test_triggers_of_nobody_are_live_again_after_a_restart() -> None:
    async def act(worker: FakeWorker) -> None:
        worker.invoke(
            "engine::register_trigger",
            {"trigger_type": "later", "function_id": "f", "config": {"a": 1}},
        )
        while not worker.take():
            await asyncio.sleep(0)

    with_store(act)

    (trigger,) = with_store(nothing)
    assert (trigger.trigger_type, trigger.function_id, trigger.config) == (
        "later",
        "f",
        b'{"a":1}',
    )
    assert trigger.owner is None


def test_what_a_killed_engine_left_as_live_is_detached() -> None:
    with_store(lambda worker: worker.trigger("t", "webhook", "f"))
    TriggerRow.objects.update(detached_at=None)

    with_store(nothing)

    assert TriggerRow.objects.get().detached_at is not None


def test_long_detached_triggers_are_forgotten() -> None:
    with_store(lambda worker: worker.trigger("t", "webhook", "f"))
    row = TriggerRow.objects.get()
    assert row.detached_at is not None
    row.detached_at -= trigger_store.DETACHED_RETENTION
    row.save()

    with_store(nothing)

    assert TriggerRow.objects.count() == 0


def test_nothing_is_lost_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_store, "RETRY_INTERVAL_S", 0)
    write = trigger_store._write
    was_away = threading.Event()

    def failing_once(batch: Any) -> None:
        if not was_away.is_set():
            was_away.set()
            raise DatabaseError("away")
        write(batch)

    monkeypatch.setattr(trigger_store, "_write", failing_once)

    async def act(worker: FakeWorker) -> None:
        worker.trigger("t", "webhook", "f")
        while not was_away.is_set():
            await asyncio.sleep(0)
        worker.trigger("u", "webhook", "f")

    with_store(act)

    assert [each["trigger_id"] for each in rows("trigger_id")] == ["t", "u"]
