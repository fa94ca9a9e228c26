"""Figures, dead letters, pause and resume: what people and the console call."""

from __future__ import annotations

from typing import Any

import pytest

from engine.modules.queue.config import NamedQueueConfig
from tests.integration.engine.modules.queue.support import FAST, QueueWorker
from tests.store_engine import Setting

ONCE = {"maxRetries": 0}


@pytest.fixture
def named_queues() -> dict[str, Any]:
    return {"both": NamedQueueConfig(concurrency=3)}


async def kill(worker: QueueWorker, topic: str, *payloads: Any, error: str = "broken") -> None:
    """Make dead letters of these payloads, in their order."""
    before = (await worker.stats(topic))["dlq_depth"]
    for number, payload in enumerate(payloads, 1):
        await worker.enqueue(topic, payload)
        event = await worker.next()
        assert event["data"] == payload
        worker.fail(event, error)
        await worker.until(topic, dlq_depth=before + number)


async def test_a_topic_that_never_was_has_zeros(worker: QueueWorker) -> None:
    assert await worker.stats("nothing") == {
        "depth": 0,
        "consumer_count": 0,
        "dlq_depth": 0,
        "config": None,
        "waiting": 0,
        "delayed": 0,
        "in_flight": 0,
        "oldest_age_ms": None,
        "delivered": 0,
        "failed": 0,
        "paused": False,
    }


async def test_figures_tell_where_messages_are(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={"concurrency": 1})
    await worker.until("orders", consumer_count=1)
    for delay_ms in (0, 0, 60_000):
        await worker.enqueue("orders", 1, delay_ms=delay_ms)
    await worker.next()
    stats = await worker.until("orders", in_flight=1)
    assert {name: stats[name] for name in ("depth", "waiting", "delayed", "in_flight")} == {
        "depth": 3,
        "waiting": 1,
        "delayed": 1,
        "in_flight": 1,
    }
    assert 0 <= stats["oldest_age_ms"] < 5_000
    assert stats["config"]["concurrency"] == 1


async def test_every_queue_is_listed(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=ONCE)
    await kill(worker, "orders", 1)
    listing = await worker.result("engine::queue::list", {})
    figures = {(each["kind"], each["name"]): each["dlq_depth"] for each in listing["queues"]}
    assert figures == {("named", "both"): 0, ("named", "default"): 0, ("topic", "orders"): 1}
    assert await worker.result("engine::queue::list_topics", {}) == [
        {"name": "both", "broker_type": "function_queue", "subscriber_count": 1},
        {"name": "default", "broker_type": "function_queue", "subscriber_count": 1},
        {"name": "orders", "broker_type": "builtin", "subscriber_count": 1},
    ]
    assert await worker.result("engine::queue::dlq_topics", {}) == [
        {"topic": "orders", "broker_type": "builtin", "message_count": 1}
    ]


async def test_dead_letters_come_in_pages_the_oldest_first(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=ONCE)
    await kill(worker, "orders", 1, 2, 3)
    page = {"topic": "orders", "offset": 1, "limit": 1}
    (letter,) = await worker.result("iii::queue::dlq_messages", page)
    assert letter["payload"] == 2


async def test_a_name_means_a_named_queue_first_and_kind_narrows(worker: QueueWorker) -> None:
    worker.subscribe("both")
    await worker.until("both", consumer_count=1)
    assert (await worker.stats("both"))["config"]["concurrency"] == 3
    assert (await worker.stats("both", kind="topic"))["config"]["concurrency"] == 10


async def test_one_dead_letter_is_redriven_with_other_data(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=ONCE)
    await kill(worker, "orders", {"id": 1}, {"id": 2})
    second = (await worker.dead_letters("orders"))[1]
    answer = await worker.result(
        "engine::queue::redrive_message",
        {"queue": "orders", "message_id": second["id"], "data": {"id": 22}},
    )
    await worker.handle({"id": 22})
    (left,) = await worker.dead_letters("orders")
    assert answer == {"queue": "orders", "message_id": second["id"], "redriven": 1}
    assert left["payload"] == {"id": 1}


async def test_dead_letters_are_chosen_by_error_id_and_number(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=ONCE)
    await kill(worker, "orders", 1, 2, error="Timeout at noon")
    await kill(worker, "orders", 3, 4, error="no such row")
    letters = await worker.dead_letters("orders")
    by_error = {"queue": "orders", "error_contains": "TIMEOUT", "limit": 1}
    assert (await worker.result("engine::queue::redrive", by_error))["redriven"] == 1
    await worker.handle(1)
    by_id = {"queue": "orders", "message_ids": [letters[3]["message_id"], letters[2]["id"]]}
    assert (await worker.result("engine::queue::discard", by_id)) == {
        "queue": "orders",
        "discarded": 2,
    }
    assert [each["payload"] for each in await worker.dead_letters("orders")] == [2]


async def test_dead_letters_of_one_function_are_chosen(worker: QueueWorker) -> None:
    worker.subscribe("orders", "first", ONCE)
    worker.subscribe("orders", "second", ONCE)
    await worker.until("orders", consumer_count=2)
    await worker.enqueue("orders", 1)
    for event in await worker.events(2):
        worker.fail(event)
    await worker.until("orders", dlq_depth=2)
    chosen = {"queue": "orders", "function_id": "second"}
    assert (await worker.result("engine::queue::redrive", chosen))["redriven"] == 1
    assert (await worker.next())["function_id"] == "second"


async def test_a_dead_letter_is_discarded(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=ONCE)
    await kill(worker, "orders", 1)
    (letter,) = await worker.dead_letters("orders")
    wanted = {"queue": "orders", "message_id": letter["message_id"]}
    for count in (1, 0):
        answer = await worker.result("iii::queue::discard_message", wanted)
        assert answer == {**wanted, "redriven": count}
    assert await worker.dead_letters("orders") == []


async def test_a_paused_queue_delivers_nothing_until_it_is_resumed(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={**FAST, "concurrency": 1})
    await worker.until("orders", consumer_count=1)
    for number in range(3):
        await worker.enqueue("orders", number)
    first = await worker.next()
    pause = await worker.result("engine::queue::pause", {"queue": "orders"})
    worker.fail(first)
    await worker.until("orders", in_flight=0, depth=3, paused=True)
    assert worker.take() == []
    resume = await worker.result("engine::queue::resume", {"queue": "orders"})
    assert (pause, resume) == (
        {"queue": "orders", "paused": True},
        {"queue": "orders", "paused": False},
    )
    await _handle_all(worker, {0, 1, 2})


async def _handle_all(worker: QueueWorker, expected: set[int]) -> None:
    while expected:
        event = await worker.next()
        expected.remove(event["data"])
        worker.reply(event, None)


async def test_a_named_queue_is_paused_too(worker: QueueWorker) -> None:
    worker.function("f")
    await worker.result("engine::queue::pause", {"queue": "both"})
    action = {"type": "enqueue", "queue": "both"}
    worker.send("invokefunction", function_id="f", data=1, action=action)
    await worker.until("both", waiting=1, paused=True)
    await worker.result("engine::queue::resume", {"queue": "both"})
    await worker.handle(1)


@pytest.mark.parametrize(
    ("function_id", "payload", "code"),
    [
        ("redrive", {}, "queue_not_set"),
        ("discard", {"queue": ""}, "queue_not_set"),
        ("redrive_message", {"queue": "q"}, "message_id_not_set"),
        ("discard_message", {"message_id": "1"}, "queue_not_set"),
        ("topic_stats", {}, "topic_required"),
        ("stats", {"topic": ""}, "topic_required"),
        ("dlq_messages", {"limit": 1}, "topic_required"),
        ("dlq_messages", {"topic": "a", "limit": 0}, "deserialization_error"),
        ("redrive", {"queue": "a", "limit": 0}, "deserialization_error"),
        ("pause", {"queue": "a", "kind": "other"}, "deserialization_error"),
    ],
)
async def test_what_is_missing_is_named(
    worker: QueueWorker, function_id: str, payload: dict[str, Any], code: str
) -> None:
    for prefix in ("engine::queue::", "iii::queue::"):
        assert (await worker.code(prefix + function_id, payload))[0] == code


async def test_an_array_is_read_as_the_members_in_their_order(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=ONCE)
    await worker.result("enqueue", ["orders", 1])
    worker.fail(await worker.next())
    await worker.until("orders", dlq_depth=1)
    (letter,) = await worker.result("engine::queue::dlq_messages", ["orders", 0, 5])
    answer = await worker.result("iii::queue::redrive_message", ["orders", letter["id"]])
    assert answer["redriven"] == 1


async def test_drains_are_for_the_engine_alone(setting: Setting, worker: QueueWorker) -> None:
    code, _ = await worker.code("engine::queue::drain", {"subscriptions": [1]})
    answer = await setting.engine.invoke_internal(
        "engine::queue::drain", b'{"subscriptions":[999999]}'
    )
    assert (code, answer) == ("function_not_found", b'{"claimed":0}')
