"""Messages of topics: who gets them, how often, in which order (modules.md M120 to M136)."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any, Final

import pytest

from tests.integration.engine.modules.queue.support import FAST, QueueWorker
from tests.store_engine import Setting
from tests.waiting import eventually

# What is due comes by itself, on a busy machine, too, before the look every two seconds finds it.
PROMPT_S: Final = 1.5


@pytest.mark.parametrize(
    ("function_id", "trigger_type"),
    [
        ("enqueue", "queue"),
        ("iii::durable::publish", "durable:subscriber"),
        ("event.emit", "event"),
    ],
)
async def test_a_handler_gets_exactly_the_data_and_enqueue_answers_nothing(
    worker: QueueWorker, function_id: str, trigger_type: str
) -> None:
    """M120, M136."""
    worker.subscribe("orders", trigger_type=trigger_type)
    answer = await worker.answer(function_id, {"topic": "orders", "data": {"id": 1}})
    event = await worker.next()
    assert (answer, event["function_id"], event["data"]) == ({}, "handle", {"id": 1})


async def test_a_handler_learns_topic_attempt_and_message_id(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config=FAST)
    receipt = await worker.enqueue("orders", 1, with_receipt=True)
    first = await worker.next()
    worker.fail(first)
    second = await worker.next()
    expected = {"topic": "orders", "message_id": receipt["message_id"]}
    assert first["metadata"] == {**expected, "attempt": 1}
    assert second["metadata"] == {**expected, "attempt": 2}


async def test_the_metadata_of_a_trigger_reaches_its_handler(worker: QueueWorker) -> None:
    worker.function("handle")
    metadata = {"team": "a", "attempt": "mine"}
    worker.trigger("t", "queue", "handle", config={"topic": "orders"}, metadata=metadata)
    await worker.enqueue("orders", 1)
    received = (await worker.next())["metadata"]
    assert (received["team"], received["attempt"]) == ("a", 1)


async def test_an_empty_topic_is_refused(worker: QueueWorker) -> None:
    """M121."""
    code, message = await worker.code("enqueue", {"topic": "", "data": 1})
    assert (code, message) == ("topic_not_set", "enqueue: `topic` is empty; name the topic")


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"topic": "a"}, "`data`"),
        ({"data": 1}, "`topic`"),
        ({"topic": 1, "data": 1}, "$.topic"),
        ({"topic": "a\0", "data": 1}, "`topic` must not hold the NUL character"),
        ({"topic": "a" * 2000, "data": 1}, "`topic` is longer than 1024 bytes"),
        ({"topic": "a", "data": 1, "delay_ms": -1}, "`delay_ms` must be from 0"),
        ({"topic": "a", "data": 1, "delay_ms": 1, "run_at": 2}, "exclude each other"),
        ({"topic": "a", "data": 1, "run_at": "tomorrow"}, '`run_at`: "tomorrow" is no time'),
        ({"topic": "a", "data": 1, "run_at": -1}, "`run_at`"),
        ({"topic": "a", "data": 1, "ttl_ms": 0}, "`ttl_ms` must be from 1"),
        ({"topic": "a", "data": 1, "message_group": "a\0"}, "`message_group`"),
        ({"topic": "a", "data": 1, "idempotency_key": "k" * 1025}, "`idempotency_key`"),
    ],
)
async def test_a_bad_payload_is_refused_with_the_member_and_the_fix(
    worker: QueueWorker, payload: dict[str, Any], problem: str
) -> None:
    code, message = await worker.code("enqueue", payload)
    assert code == "deserialization_error"
    assert problem in message


async def test_a_later_subscriber_gets_what_was_enqueued_before(worker: QueueWorker) -> None:
    """M122."""
    for number in range(3):
        await worker.enqueue("orders", number)
    worker.subscribe("orders", queue_config={"concurrency": 1})
    await worker.handle(0, 1, 2)


async def test_functions_that_subscribe_soon_after_the_first_get_what_waited(
    worker: QueueWorker,
) -> None:
    await worker.enqueue("orders", 1)
    worker.subscribe("orders", "first")
    await worker.until("orders", consumer_count=1)
    worker.subscribe("orders", "second")
    events = await worker.events(2)
    assert {each["function_id"] for each in events} == {"first", "second"}


async def test_a_failing_handler_is_called_again_after_one_wait_and_after_twice_that(
    worker: QueueWorker,
) -> None:
    """M123, with a tenth of the times."""
    worker.subscribe("orders", queue_config={"backoffDelayMs": 100})
    await worker.enqueue("orders", "x")
    times = []
    for attempt in range(3):
        event = await worker.next()
        times.append(time.monotonic())
        if attempt < 2:
            worker.fail(event)
    worker.reply(event, None)
    await worker.until("orders", depth=0, delivered=1, failed=2, dlq_depth=0)
    assert 0.1 <= times[1] - times[0] < 0.3
    assert 0.2 <= times[2] - times[1] < 0.5


async def test_a_fixed_backoff_does_not_grow(worker: QueueWorker) -> None:
    config = {"backoffDelayMs": 100, "backoffType": "fixed", "maxRetries": 3}
    worker.subscribe("orders", queue_config=config)
    await worker.enqueue("orders", "x")
    times = []
    for _ in range(4):
        event = await worker.next()
        times.append(time.monotonic())
        worker.fail(event)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.1 <= wait < 0.25 for wait in waits), waits


async def test_a_message_that_always_fails_is_a_dead_letter_after_three_calls(
    worker: QueueWorker,
) -> None:
    """M124."""
    worker.subscribe("orders", queue_config=FAST)
    receipt = await worker.enqueue("orders", {"id": 1}, with_receipt=True)
    for number in range(3):
        worker.fail(await worker.next(), f"broken {number}")
    await worker.until("orders", dlq_depth=1, depth=0, failed=3)
    (letter,) = await worker.dead_letters("orders")
    assert [entry["error"] for entry in letter["history"]] == [
        "oops: broken 0",
        "oops: broken 1",
        "oops: broken 2",
    ]
    assert {name: letter[name] for name in ("payload", "error", "retries", "function_id")} == {
        "payload": {"id": 1},
        "error": "oops: broken 2",
        "retries": 3,
        "function_id": "handle",
    }
    assert (letter["message_id"], letter["size_bytes"]) == (receipt["message_id"], 8)
    assert abs(letter["failed_at"] - time.time()) < 10


@pytest.mark.parametrize("queue_options", [{"max_attempts": 1}, {"max_attempts": 0}])
async def test_the_adapter_says_how_often_where_the_trigger_does_not(worker: QueueWorker) -> None:
    worker.subscribe("orders")
    await worker.enqueue("orders", 1)
    worker.fail(await worker.next())
    await worker.until("orders", dlq_depth=1)


async def test_max_retries_are_further_attempts(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={**FAST, "maxRetries": 0})
    await worker.enqueue("orders", 1)
    worker.fail(await worker.next())
    await worker.until("orders", dlq_depth=1)


async def test_a_redriven_message_is_delivered_as_if_it_were_new(worker: QueueWorker) -> None:
    """M125."""
    worker.subscribe("orders", queue_config={**FAST, "maxRetries": 1})
    await worker.enqueue("orders", 1)
    for _ in range(2):
        worker.fail(await worker.next())
    await worker.until("orders", dlq_depth=1)
    answer = await worker.result("iii::queue::redrive", {"queue": "orders"})
    event = await worker.next()
    assert answer == {"queue": "orders", "redriven": 1}
    assert (event["data"], event["metadata"]["attempt"]) == (1, 1)
    worker.reply(event, None)
    await worker.until("orders", dlq_depth=0, depth=0)


async def test_two_functions_of_a_topic_are_called_once_each(worker: QueueWorker) -> None:
    """M126."""
    worker.subscribe("orders", "first")
    worker.subscribe("orders", "second")
    await worker.until("orders", consumer_count=2)
    await worker.enqueue("orders", 1)
    events = await worker.events(2)
    for event in events:
        worker.reply(event, None)
    await worker.until("orders", depth=0, delivered=2)
    assert {each["function_id"] for each in events} == {"first", "second"}


async def test_two_triggers_of_a_function_are_one_call(worker: QueueWorker) -> None:
    """M127."""
    worker.subscribe("orders")
    worker.subscribe("orders")
    await worker.until("orders", consumer_count=1)
    await worker.enqueue("orders", 1)
    await worker.handle(1)
    await worker.until("orders", depth=0, delivered=1)
    assert worker.take() == []


async def test_fifo_is_in_order_and_one_at_a_time(worker: QueueWorker) -> None:
    """M128."""
    worker.subscribe("orders", queue_config={"type": "fifo", "concurrency": 1})
    await worker.until("orders", consumer_count=1)
    for number in range(10):
        await worker.enqueue("orders", number)
    for number in range(10):
        event = await worker.next()
        stats = await worker.until("orders", in_flight=1)
        assert (event["data"], stats["depth"], worker.handled) == (number, 10 - number, [])
        worker.reply(event, None)
    await worker.until("orders", depth=0)


async def test_a_failing_message_holds_up_its_group_alone(worker: QueueWorker) -> None:
    """M129."""
    config = {"type": "fifo", "concurrency": 2, "backoffDelayMs": 200}
    worker.subscribe("orders", queue_config=config)
    await worker.until("orders", consumer_count=1)
    await worker.enqueue("orders", "a1", message_group="a")
    await worker.enqueue("orders", "a2", message_group="a")
    await worker.enqueue("orders", "b1", message_group="b")
    await worker.enqueue("orders", "b2", message_group="b")
    first, second = await worker.events(2)
    assert [first["data"], second["data"]] == ["a1", "b1"]
    worker.fail(first)
    worker.reply(second, None)
    await worker.handle("b2", "a1", "a2")


async def test_no_more_run_at_once_than_the_concurrency(worker: QueueWorker) -> None:
    """M130."""
    worker.subscribe("orders", queue_config={"concurrency": 2})
    await worker.until("orders", consumer_count=1)
    for number in range(6):
        await worker.enqueue("orders", number)
    started = await worker.events(2)
    handled: list[int] = []
    while started:
        await worker.until("orders", depth=6 - len(handled))
        assert len(started) + len(worker.handled) <= 2
        event = started.pop(0)
        handled.append(event["data"])
        worker.reply(event, None)
        if len(handled) < 5:
            started += await worker.events(1)
    assert handled == list(range(6))


@pytest.mark.parametrize("member", ["condition_function_id", "_condition_path"])
async def test_a_condition_that_says_false_takes_the_message_away(
    worker: QueueWorker, member: str
) -> None:
    """M131."""
    worker.function("allow")
    worker.function("handle")
    worker.trigger("t", "queue", "handle", config={"topic": "orders", member: "allow"})
    await worker.enqueue("orders", 1)
    asked = await worker.next()
    assert (asked["function_id"], asked["data"]) == ("allow", 1)
    worker.reply(asked, False)
    await worker.until("orders", depth=0, dlq_depth=0)
    assert worker.take() == []


async def test_a_condition_that_says_anything_else_lets_the_message_pass(
    worker: QueueWorker,
) -> None:
    worker.function("allow")
    worker.subscribe("orders", condition_function_id="allow")
    await worker.enqueue("orders", 1)
    worker.reply(await worker.next(), 0)
    assert (await worker.next())["function_id"] == "handle"


async def test_a_condition_that_fails_is_a_failed_attempt(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={"maxRetries": 0}, condition_function_id="nowhere")
    await worker.enqueue("orders", 1)
    await worker.until("orders", dlq_depth=1)
    (letter,) = await worker.dead_letters("orders")
    assert letter["error"].startswith("function_not_found: ")


async def test_what_a_worker_was_doing_when_it_left_is_delivered_again(
    setting: Setting, worker: QueueWorker
) -> None:
    """M132."""
    leaver = QueueWorker(setting.engine)
    leaver.subscribe("orders", queue_config=FAST)
    await worker.enqueue("orders", 1)
    await leaver.next()
    leaver.leave()
    worker.subscribe("orders", queue_config=FAST)
    (event,) = await worker.handle(1)
    assert event["metadata"]["attempt"] == 2


async def test_a_subscription_gets_what_comes_while_its_worker_is_away(
    setting: Setting, worker: QueueWorker
) -> None:
    leaver = QueueWorker(setting.engine)
    leaver.subscribe("orders", "slow")
    worker.subscribe("orders", "other")
    await worker.until("orders", consumer_count=2)
    leaver.leave()
    await worker.until("orders", consumer_count=1)
    for number in range(3):
        await worker.enqueue("orders", number)
    assert sorted([each["data"] for each in await worker.events(3)]) == [0, 1, 2]
    back = QueueWorker(setting.engine)
    back.subscribe("orders", "slow", {"concurrency": 1})
    await back.handle(0, 1, 2)


async def test_nothing_is_started_on_a_worker_that_leaves(
    setting: Setting, worker: QueueWorker
) -> None:
    """What was claimed for it is no failed attempt."""
    leaver = QueueWorker(setting.engine)
    leaver.subscribe("orders", queue_config={**FAST, "concurrency": 2})
    await worker.until("orders", consumer_count=1)
    for number in range(20):
        await worker.enqueue("orders", number)
    await leaver.events(2)
    leaver.leave()
    worker.subscribe("orders", queue_config={**FAST, "concurrency": 20})
    events = await worker.events(20)
    again = [each["data"] for each in events if each["metadata"]["attempt"] == 2]
    assert sorted(each["data"] for each in events) == list(range(20))
    assert sorted(again) == [0, 1]


@pytest.mark.parametrize("data", [None, 7, "text", {"a": [1, {"b": None}]}, [], "\0é\U0001f600"])
async def test_data_arrives_unchanged(worker: QueueWorker, data: Any) -> None:
    """M133."""
    worker.subscribe("orders")
    await worker.enqueue("orders", data)
    assert (await worker.next())["data"] == data


async def test_nothing_is_delivered_after_the_trigger_is_unregistered(worker: QueueWorker) -> None:
    """M134."""
    trigger_id = worker.subscribe("orders", "first")
    worker.subscribe("orders", "second")
    await worker.until("orders", consumer_count=2)
    worker.send("unregistertrigger", id=trigger_id)
    await worker.until("orders", consumer_count=1)
    await worker.enqueue("orders", 1)
    event = await worker.next()
    worker.reply(event, None)
    await worker.until("orders", depth=0)
    assert (event["function_id"], worker.take(), worker.handled) == ("second", [], [])


async def test_a_trigger_that_is_registered_anew_loses_nothing(worker: QueueWorker) -> None:
    trigger_id = worker.subscribe("orders", queue_config={"concurrency": 1})
    await worker.until("orders", consumer_count=1)
    for number in range(3):
        await worker.enqueue("orders", number)
    first = await worker.next()
    worker.subscribe("orders", queue_config={"concurrency": 2}, trigger_id=trigger_id)
    second = await worker.next()
    assert [first["data"], second["data"]] == [0, 1]


async def test_a_trigger_of_the_oldest_sdks_names_several_topics(worker: QueueWorker) -> None:
    worker.function("handle")
    worker.trigger("t", "event", "handle", config={"subscribes": ["a", "b"]})
    await worker.enqueue("a", 1)
    await worker.handle(1)
    await worker.enqueue("b", 2)
    await worker.handle(2)


@pytest.mark.parametrize("config", [{}, {"topic": ""}, {"topic": 1}, {"topic": "a\0"}])
async def test_a_trigger_without_a_usable_topic_is_refused(
    worker: QueueWorker, config: dict[str, Any]
) -> None:
    worker.function("handle")
    worker.trigger("t", "queue", "handle", config=config)
    (refusal,) = worker.take()
    assert refusal["type"] == "triggerregistrationresult"
    assert "topic" in refusal["error"]["message"]


async def test_a_delayed_message_comes_when_its_time_has_come(worker: QueueWorker) -> None:
    worker.subscribe("orders")
    begin = time.monotonic()
    await worker.enqueue("orders", "later", delay_ms=150)
    await worker.enqueue("orders", "now")
    await worker.handle("now", "later")
    assert 0.15 <= time.monotonic() - begin < PROMPT_S


async def test_run_at_is_a_time(worker: QueueWorker) -> None:
    worker.subscribe("orders")
    at_ms = time.time_ns() // 1_000_000 + 150
    await worker.enqueue("orders", "later", run_at=at_ms)
    await worker.enqueue("orders", "past", run_at="2020-01-01T00:00:00Z")
    await worker.handle("past", "later")
    assert 0 <= time.time_ns() // 1_000_000 - at_ms < PROMPT_S * 1000


async def test_every_message_waits_for_the_delay_of_its_subscription(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={"delaySeconds": 0.15})
    await worker.until("orders", consumer_count=1)
    begin = time.monotonic()
    await worker.enqueue("orders", 1)
    await worker.handle(1)
    assert 0.15 <= time.monotonic() - begin < PROMPT_S


async def test_an_expired_message_reaches_nobody(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={"concurrency": 1})
    await worker.until("orders", consumer_count=1)
    await worker.enqueue("orders", "first")
    first = await worker.next()
    await worker.enqueue("orders", "short", ttl_ms=30)
    await worker.enqueue("orders", "long", ttl_ms=60_000)
    await asyncio.sleep(0.05)  # time itself is the condition
    worker.reply(first, None)
    await worker.handle("long")
    await worker.until("orders", depth=0)


async def test_a_key_makes_a_second_message_the_first_one(worker: QueueWorker) -> None:
    worker.subscribe("orders")
    first = await worker.enqueue("orders", 1, idempotency_key="k", with_receipt=True)
    second = await worker.enqueue("orders", 2, idempotency_key="k", with_receipt=True)
    other = await worker.enqueue("others", 3, idempotency_key="k", with_receipt=True)
    await worker.handle(1)
    await worker.until("orders", depth=0)
    assert (first["duplicate"], other["duplicate"]) == (False, False)
    assert second == {"message_id": first["message_id"], "duplicate": True}


async def test_an_attempt_that_takes_too_long_has_failed_and_its_result_is_dropped(
    worker: QueueWorker,
) -> None:
    config = {**FAST, "visibilityTimeout": 0.1, "maxRetries": 1}
    worker.subscribe("orders", queue_config=config)
    await worker.enqueue("orders", 1)
    late = await worker.next()
    again = await worker.next()
    worker.reply(late, None)
    worker.fail(again)
    await worker.until("orders", dlq_depth=1, delivered=0, failed=2)
    (letter,) = await worker.dead_letters("orders")
    assert letter["history"][0]["error"].startswith("visibility_timeout: no result within 100 ms")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("non_retryable", "no such customer"),
        ("invocation_failed", "non_retryable: no such customer"),
        ("invocation_failed", "Error: non_retryable"),
        ("invocation_failed", '{"code": "non_retryable"}'),
    ],
)
async def test_an_error_that_cannot_be_repaired_is_a_dead_letter_at_once(
    worker: QueueWorker, code: str, message: str
) -> None:
    worker.subscribe("orders")
    await worker.enqueue("orders", 1)
    worker.fail(await worker.next(), message, code)
    await worker.until("orders", dlq_depth=1, failed=1)


async def test_a_handler_says_how_long_to_wait(worker: QueueWorker) -> None:
    worker.subscribe("orders", queue_config={"backoffDelayMs": 60_000})
    await worker.enqueue("orders", 1)
    begin = time.monotonic()
    worker.fail(await worker.next(), "retry_after_ms: 100", "invocation_failed")
    await worker.handle(1)
    assert 0.1 <= time.monotonic() - begin < PROMPT_S


async def test_trace_context_is_restored_at_the_delivery(worker: QueueWorker) -> None:
    worker.subscribe("orders")
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    worker.invoke("enqueue", {"topic": "orders", "data": 1}, baggage="k=v", **trace)
    await eventually(_has_taken(worker))
    event = worker.handled[0]
    assert (event["traceparent"], event["baggage"]) == (trace["traceparent"], "k=v")


def _has_taken(worker: QueueWorker) -> Any:
    async def has_taken() -> bool:
        worker.handled += [each for each in worker.take() if each["type"] == "invokefunction"]
        return bool(worker.handled)

    return has_taken


async def test_a_queue_whose_worker_does_not_keep_up_counts_no_attempts(
    worker: QueueWorker,
) -> None:
    worker.subscribe("orders")
    worker.outbox.is_full = True
    await worker.enqueue("orders", 1)
    await worker.until("orders", waiting=1)
    worker.outbox.is_full = False
    (event,) = await worker.handle(1)
    assert event["metadata"]["attempt"] == 1
