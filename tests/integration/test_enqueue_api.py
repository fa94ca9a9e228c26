"""The Python API for Django projects, as far as its rows go: what it writes, and when."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from django.db import connections, transaction
from django.utils.translation import gettext_lazy

from engine import outbox
from engine.models import OutboxMessage
from engine.modules.queue import upkeep
from engine.outbox import TAKE_OUTBOX
from engine.queues import EnqueueError, enqueue
from kv.clock import now_ms
from tests.integration.queue_thread import QueueThread, Shop


@pytest.fixture(params=["sqlite", "postgres"])
def alias(request: pytest.FixtureRequest) -> str:
    """A database with the engine's tables; no engine runs in this process."""
    name: str = request.getfixturevalue(f"{request.param}_alias")
    return name


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases for which the engine was woken: no broker is there to be told."""
    aliases: list[str] = []
    monkeypatch.setattr(outbox, "send_take_outbox", lambda: aliases.append("sent"))
    return aliases


@contextmanager
def undone(alias: str) -> Iterator[None]:
    """Roll back what is done in this block."""
    with transaction.atomic(using=alias):
        yield
        transaction.set_rollback(True, using=alias)


def topics(alias: str) -> list[str]:
    return list(OutboxMessage.objects.using(alias).order_by("pk").values_list("topic", flat=True))


def options(alias: str) -> Any:
    return msgspec.json.decode(OutboxMessage.objects.using(alias).get().options)


# --- transactions -------------------------------------------------------------------------------


def test_a_message_is_there_after_the_commit_and_not_before(alias: str) -> None:
    with transaction.atomic(using=alias):
        enqueue("orders", {"id": 1}, using=alias)
        others = connections[alias].copy()
        try:
            with others.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM engine_outboxmessage")
                assert cursor.fetchone() == (0,)
        finally:
            others.close()
    assert topics(alias) == ["orders"]


def test_a_transaction_that_rolls_back_enqueues_nothing(alias: str, woken: list[str]) -> None:
    with undone(alias):
        enqueue("orders", {"id": 1}, using=alias)
    assert (topics(alias), woken) == ([], [])


def test_a_savepoint_that_rolls_back_takes_its_messages_along_and_no_others(alias: str) -> None:
    with transaction.atomic(using=alias):
        enqueue("before", None, using=alias)
        with undone(alias):
            enqueue("inside", None, using=alias)
        with transaction.atomic(using=alias):
            enqueue("after", None, using=alias)
    assert topics(alias) == ["before", "after"]


def test_without_a_transaction_it_is_there_at_once(alias: str) -> None:
    message_id = enqueue("orders", {"id": 1}, using=alias)
    row = OutboxMessage.objects.using(alias).get()
    assert (row.topic, row.data) == ("orders", '{"id":1}')
    assert options(alias) == {"message_id": message_id}
    assert str(uuid.UUID(message_id)) == message_id


@pytest.mark.django_db(databases=["default", "system"], transaction=True)
def test_a_transaction_on_another_database_is_refused() -> None:
    with (
        transaction.atomic(using="system"),
        pytest.raises(EnqueueError, match=r"is on the database 'system'.*using='default'"),
    ):
        enqueue("orders", None)
    with transaction.atomic(using="system"):
        enqueue("asked for", None, using="default")
    assert topics("default") == ["asked for"]


# --- who is told --------------------------------------------------------------------------------


def test_after_a_commit_on_postgres_the_broker_is_told(
    postgres_alias: str, woken: list[str]
) -> None:
    with transaction.atomic(using=postgres_alias):
        enqueue("orders", None, using=postgres_alias)
        assert woken == []
    assert woken == ["sent"]


def test_on_sqlite_nobody_is_told_by_another_process(sqlite_alias: str, woken: list[str]) -> None:
    enqueue("orders", None, using=sqlite_alias)
    assert woken == []


def test_a_failure_to_tell_is_no_failure_of_the_transaction(
    postgres_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("the broker is away")

    monkeypatch.setattr(outbox, "send_take_outbox", fail)
    enqueue("orders", None, using=postgres_alias)
    assert topics(postgres_alias) == ["orders"]


@pytest.mark.django_db(databases=["default", "system"], transaction=True)
def test_the_engine_of_this_process_is_told_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 1_000.0)  # it does not look on its own
    with QueueThread().in_charge() as thread:
        shop = Shop(thread)
        shop.subscribe("shop::bill")
        shop.offer("shop::bill")
        with undone("default"):
            enqueue("orders", {"id": 1})
        with transaction.atomic():
            message_ids = [enqueue("orders", {"id": number}) for number in (2, 3)]

        frames = [shop.next_call(), shop.next_call()]

        assert [frame["data"] for frame in frames] == [{"id": 2}, {"id": 3}]
        assert [frame["metadata"]["message_id"] for frame in frames] == message_ids


@pytest.mark.django_db(databases=["default", "system"], transaction=True)
def test_an_engine_with_queues_in_memory_leaves_messages_where_they_are() -> None:
    thread = QueueThread("in_memory")
    thread.start()
    try:
        enqueue("orders", {"id": 1})
        assert call_engine(thread, TAKE_OUTBOX) == {"taken": 0}
    finally:
        thread.stop()
    assert topics("default") == ["orders"]


def call_engine(thread: QueueThread, function_id: str) -> Any:
    """Call one of the engine's internal functions."""

    async def call() -> bytes | None:
        return await thread.engine.invoke_internal(function_id, b"{}")

    answer = asyncio.run_coroutine_threadsafe(call(), thread.loop).result(10)
    return msgspec.json.decode(answer or b"null")


# --- what is written ----------------------------------------------------------------------------


def test_options_are_written_as_instants(sqlite_alias: str) -> None:
    before = now_ms()
    enqueue(
        "orders",
        None,
        message_group="ada",
        delay_ms=1_000,
        idempotency_key="order-1",
        ttl_ms=60_000,
        using=sqlite_alias,
    )
    written = options(sqlite_alias)
    passed = now_ms() - before
    assert 1_000 <= written.pop("run_at") - before <= 1_000 + passed
    assert 60_000 <= written.pop("expires_at") - before <= 60_000 + passed
    del written["message_id"]
    assert written == {"message_group": "ada", "idempotency_key": "order-1"}


@pytest.mark.parametrize(
    "run_at",
    [
        1_800_000_000_000,
        dt.datetime(2027, 1, 15, 8, tzinfo=dt.UTC),
        dt.datetime(2027, 1, 15, 9, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    ],
)
def test_a_time_is_an_instant_or_a_number(run_at: Any, sqlite_alias: str) -> None:
    enqueue("orders", None, run_at=run_at, using=sqlite_alias)
    assert options(sqlite_alias)["run_at"] == 1_800_000_000_000


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "null"),
        ({"ü": [1, 2.5, True]}, '{"ü":[1,2.5,true]}'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (gettext_lazy("Yes"), '"Yes"'),
        (2**70, str(2**70)),
        (msgspec.Raw(b'{"a": 1.0}'), '{"a": 1.0}'),
        ("\0", '"\\u0000"'),
    ],
)
def test_data_is_written_as_json(data: Any, text: str, alias: str) -> None:
    enqueue("orders", data, using=alias)
    assert OutboxMessage.objects.using(alias).get().data == text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"topic": ""}, "`topic` is empty"),
        ({"topic": 5}, "topic: must be a string, not int"),
        ({"topic": "a\0b"}, "`topic` must not hold the NUL character"),
        ({"topic": "x" * 1_025}, "`topic` is longer than 1024 bytes"),
        ({"topic": "\ud800"}, "surrogates not allowed"),
        ({"data": {1, OutboxMessage}}, "data: cannot be written as JSON"),
        ({"data": OutboxMessage(topic="x")}, "OutboxMessage is not JSON; turn it into a dict"),
        ({"data": "\ud800"}, "data: cannot be written as JSON"),
        ({"data": msgspec.Raw(b"{")}, "data: cannot be written as JSON: Input data was truncated"),
        ({"delay_ms": -1}, "`delay_ms` must be from 0"),
        ({"delay_ms": 1.5}, "delay_ms"),
        ({"delay_ms": 1, "run_at": 1}, "`delay_ms` and `run_at` exclude each other"),
        ({"run_at": dt.datetime(2026, 1, 1)}, "run_at: has no time zone"),
        ({"run_at": -1}, "Unix milliseconds"),
        ({"ttl_ms": 0}, "`ttl_ms` must be from 1"),
        ({"message_group": 5}, "message_group"),
        ({"message_group": "\ud800"}, "surrogates not allowed"),
        ({"idempotency_key": "a\0b"}, "`idempotency_key` must not hold the NUL character"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    arguments: dict[str, Any], problem: str, sqlite_alias: str
) -> None:
    with pytest.raises(EnqueueError) as error:
        enqueue(**{"topic": "orders", "data": None, "using": sqlite_alias, **arguments})
    assert problem in str(error.value)
    assert topics(sqlite_alias) == []
