"""Publish and subscribe: who gets which message, and what the publisher is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import chain, repeat
from typing import Any

import pytest

from engine.core import log_limit
from engine.core.config import check_document
from engine.core.engine import Engine
from engine.core.triggers import Trigger
from engine.core.yaml_source import parse_document
from engine.modules.catalogue import BUILT_IN, load_modules
from engine.modules.pubsub.module import PubSubModule
from engine.modules.worker.module import WorkerModule
from tests.fakes import FakeWorker, make_engine

LIMIT_S = 5.0


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    running = make_engine((WorkerModule, {}), (PubSubModule, {}))
    await running.start()
    yield running
    await running.stop(grace_s=0)


@pytest.fixture
def publisher(engine: Engine) -> FakeWorker:
    return FakeWorker(engine)


def subscriber(engine: Engine, *topics: str, function_id: str = "heard") -> FakeWorker:
    """Connect a worker with one function and a trigger of it for each topic."""
    worker = FakeWorker(engine)
    worker.function(function_id)
    for number, topic in enumerate(topics):
        worker.trigger(f"t{number}", "subscribe", function_id, config={"topic": topic})
    assert worker.take() == []
    return worker


def heard(worker: FakeWorker) -> list[Any]:
    """Return the messages that a worker has got since the last time."""
    return [frame["data"] for frame in worker.take()]


def publish(publisher: FakeWorker, topic: str, data: Any) -> None:
    answer = publisher.call("publish", {"topic": topic, "data": data})
    assert "error" not in answer
    assert "result" not in answer


async def test_every_subscriber_gets_a_message_once(engine: Engine, publisher: FakeWorker) -> None:
    first = subscriber(engine, "news", function_id="a")
    second = subscriber(engine, "news", function_id="b")
    publish(publisher, "news", {"n": 1})
    assert (heard(first), heard(second)) == ([{"n": 1}], [{"n": 1}])


async def test_the_publisher_may_subscribe_itself(engine: Engine) -> None:
    worker = subscriber(engine, "news")
    worker.invoke("publish", {"topic": "news", "data": 1})
    delivery, answer = worker.take()
    assert (delivery["data"], answer["type"]) == (1, "invocationresult")


async def test_a_message_without_subscribers_is_published_and_gone(
    engine: Engine, publisher: FakeWorker
) -> None:
    publish(publisher, "news", 1)
    late = subscriber(engine, "news")
    assert heard(late) == []


@pytest.mark.parametrize("topic", ["other", "News", "news ", "news.*", "*"])
async def test_topics_are_compared_letter_for_letter(
    engine: Engine, publisher: FakeWorker, topic: str
) -> None:
    worker = subscriber(engine, "news")
    publish(publisher, topic, 1)
    assert heard(worker) == []


async def test_two_triggers_of_a_function_are_two_calls(
    engine: Engine, publisher: FakeWorker
) -> None:
    worker = subscriber(engine, "news", "news")
    publish(publisher, "news", "x")
    assert heard(worker) == ["x", "x"]


async def test_a_message_passes_as_it_was_written(engine: Engine, publisher: FakeWorker) -> None:
    worker = subscriber(engine, "news")
    text = b'{ "z":1.0, "a":12345678901234567890, "z":"\\u00e9" }'
    publisher.raw(
        b'{"type":"invokefunction","function_id":"publish","data":{"topic":"news","data":%b}}'
        % text
    )
    (frame,) = worker.outbox.frames
    assert frame.endswith(b'"data":' + text + b"}")


async def test_messages_of_one_publisher_keep_their_order(
    engine: Engine, publisher: FakeWorker
) -> None:
    worker = subscriber(engine, "news")
    for number in range(100):
        publisher.void("publish", {"topic": "news", "data": number})
    assert heard(worker) == list(range(100))


@pytest.mark.parametrize("member", ["condition_function_id", "_condition_path"])
async def test_a_condition_that_says_false_keeps_a_message_away(
    engine: Engine, publisher: FakeWorker, member: str
) -> None:
    worker = FakeWorker(engine)
    worker.function("heard")
    worker.function("wanted")
    worker.trigger("t", "subscribe", "heard", config={"topic": "news", member: "wanted"})
    for number in range(4):
        publish(publisher, "news", number)
    messages: list[Any] = []
    async with asyncio.timeout(LIMIT_S):
        while messages[-1:] != [3]:
            for frame in worker.take():
                if frame["function_id"] == "wanted":
                    worker.result(frame, frame["data"] != 1)
                else:
                    messages.append(frame["data"])
            await asyncio.sleep(0)
    assert messages == [0, 2, 3]


async def test_metadata_of_a_trigger_goes_along(engine: Engine, publisher: FakeWorker) -> None:
    worker = FakeWorker(engine)
    worker.function("heard")
    worker.trigger("t", "subscribe", "heard", config={"topic": "news"}, metadata={"m": 1})
    publish(publisher, "news", 1)
    assert worker.take_one()["metadata"] == {"m": 1}


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        ({"topic": "", "data": 1}, "topic_not_set", "publish: `topic` is empty; name the topic"),
        ({"data": 1}, "deserialization_error", "missing required field `topic`"),
        ({"topic": "news"}, "deserialization_error", "missing required field `data`"),
        ({"topic": 5, "data": 1}, "deserialization_error", "$.topic"),
        (None, "deserialization_error", "missing required field `topic`"),
        ("news", "deserialization_error", "publish: Expected `object`"),
    ],
)
async def test_a_payload_that_cannot_be_meant_is_refused_by_name(
    publisher: FakeWorker, payload: Any, code: str, message: str
) -> None:
    error = publisher.call("publish", payload)["error"]
    assert error["code"] == code
    assert message in error["message"]


async def test_a_positional_array_is_read_in_the_order_of_the_members(
    engine: Engine, publisher: FakeWorker
) -> None:
    worker = subscriber(engine, "news")
    publisher.call("publish", ["news", None])
    assert heard(worker) == [None]


async def test_an_unregistered_subscription_ends_alone(
    engine: Engine, publisher: FakeWorker
) -> None:
    """Both workers call their triggers `t0`, and one has a second one on the same topic."""
    one, other = subscriber(engine, "news", "news"), subscriber(engine, "news", function_id="b")
    one.send("unregistertrigger", id="t0")
    publish(publisher, "news", 1)
    assert (heard(one), heard(other)) == ([1], [1])
    one.send("unregistertrigger", id="t1")
    publish(publisher, "news", 2)
    assert (heard(one), heard(other)) == ([], [2])


async def test_the_same_id_of_the_same_worker_replaces(
    engine: Engine, publisher: FakeWorker
) -> None:
    worker = subscriber(engine, "old")
    worker.trigger("t0", "subscribe", "heard", config={"topic": "new"})
    publish(publisher, "old", 1)
    publish(publisher, "new", 2)
    assert heard(worker) == [2]


async def test_a_worker_that_leaves_is_forgotten(engine: Engine, publisher: FakeWorker) -> None:
    worker, other = subscriber(engine, "news"), subscriber(engine, "news", function_id="b")
    worker.leave()
    publish(publisher, "news", 1)
    assert (heard(worker), heard(other)) == ([], [1])


@pytest.mark.parametrize("config", [None, {}, {"topic": ""}, {"topic": 5}])
async def test_a_trigger_without_a_topic_is_refused_and_never_fires(
    engine: Engine, publisher: FakeWorker, config: Any
) -> None:
    worker = FakeWorker(engine)
    worker.function("heard")
    worker.trigger("t", "subscribe", "heard", config=config)
    refusal = worker.take_one()
    assert (refusal["type"], refusal["id"]) == ("triggerregistrationresult", "t")
    assert "topic" in refusal["error"]["message"]
    worker.send("unregistertrigger", id="t")
    assert publisher.call("publish", {"topic": "", "data": 1})["error"]["code"] == "topic_not_set"
    assert worker.take() == []


async def test_a_handler_that_fails_is_told_to_the_log_alone(
    engine: Engine, publisher: FakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker = subscriber(engine, "news")
    publish(publisher, "news", 1)
    worker.error(worker.take_one(), {"code": "boom", "message": "told to fail"})
    assert caplog.messages == ["subscribe trigger: handler failed: boom: told to fail"]
    assert (worker.take(), publisher.take()) == ([], [])


async def test_a_full_queue_loses_messages_of_that_subscriber_alone(
    engine: Engine,
    publisher: FakeWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = chain([0.0, 0.1, 0.2], repeat(2.0))
    monkeypatch.setattr(log_limit, "monotonic", lambda: next(clock))
    slow, quick = subscriber(engine, "news"), subscriber(engine, "news", function_id="b")
    slow.outbox.is_full = True
    for number in range(4):
        publish(publisher, "news", number)
    assert (heard(slow), heard(quick)) == ([], [0, 1, 2, 3])
    lost = (
        "subscribe trigger: handler failed: channel_send_failed: "
        "the worker of heard does not keep up: its outbound queue is full"
    )
    assert caplog.messages == [lost, f"{lost} (and 2 more)"]
    slow.outbox.is_full = False
    publish(publisher, "news", 4)
    assert heard(slow) == [4]


async def test_a_function_that_nobody_offers_does_not_disturb_the_others(
    engine: Engine, publisher: FakeWorker
) -> None:
    worker = subscriber(engine, "news")
    worker.trigger("lost", "subscribe", "nobody::offers", config={"topic": "news"})
    worker.trigger("last", "subscribe", "heard", config={"topic": "news"})
    publish(publisher, "news", 1)
    assert heard(worker) == [1, 1]


async def test_a_built_in_function_may_subscribe_and_take_subscriptions_away(
    engine: Engine, publisher: FakeWorker
) -> None:
    orphan = Trigger("o", "subscribe", "engine::unregister_trigger", config=b'{"topic":"ids"}')
    engine.triggers.add(orphan)
    worker = subscriber(engine, "ids", "ids")
    publish(publisher, "ids", {"id": "o"})
    publish(publisher, "ids", 2)
    assert heard(worker) == [{"id": "o"}, {"id": "o"}, 2, 2]
    assert not engine.triggers.by_id("o")


async def test_redis_is_accepted_and_said_to_reach_this_engine_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = "modules: [{class: pubsub, config: {adapter: {class: redis}}}]"
    config = check_document(parse_document(source, "iii.yaml", {}), load_modules(BUILT_IN, []))
    engine = Engine(config)
    await engine.start()
    assert [message for message in caplog.messages if "Redis" in message] == [
        "modules::pubsub::PubSubModule: Redis is not built yet: "
        "messages reach the subscribers of this engine only"
    ]
    worker = subscriber(engine, "news")
    publish(FakeWorker(engine), "news", 1)
    assert heard(worker) == [1]
    await engine.stop(grace_s=0)


async def test_the_module_is_listed_as_built(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    engine = make_engine((WorkerModule, {}), (PubSubModule, {}))
    await engine.start()
    assert engine.health()["components"]["PubSubModule"]["status"] == "healthy"
    assert caplog.messages == []
    await engine.stop(grace_s=0)
