"""What durable queues look like on the wire, on every server."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.behaviour.conftest import Site
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.raw_worker import CallFailed
from tests.waiting import wait_until


def ask(connection: ClientConnection, function_id: str, data: Any, **members: Any) -> Any:
    """Make a call and return the frame that answers it."""
    call = {"type": "invokefunction", "invocation_id": "i", "function_id": function_id}
    connection.send(json.dumps({**call, "data": data, **members}))
    return json.loads(connection.recv(timeout=10))


def test_an_enqueued_message_is_answered_with_neither_result_nor_error(
    site: Site, running: EngineProcess
) -> None:
    with connect(running.worker_url) as connection:
        connection.recv(timeout=10)
        answers = [
            ask(connection, function_id, {"topic": site.name, "data": None})
            for function_id in ("enqueue", "iii::durable::publish", "event.emit")
        ]

    assert [set(answer) for answer in answers] == [{"type", "invocation_id", "function_id"}] * 3


def test_a_call_with_the_action_enqueue_is_answered_with_a_receipt(
    site: Site, running: EngineProcess
) -> None:
    site.worker.send({"type": "registerfunction", "id": site.id("f")})
    with connect(running.worker_url) as connection:
        connection.recv(timeout=10)
        action = {"type": "enqueue", "queue": "jobs"}
        answer = ask(connection, site.id("f"), {"n": 1}, action=action)

    invocation = site.next_invocation("f")
    site.answer(invocation, None)
    assert set(answer) == {"type", "invocation_id", "function_id", "result"}
    assert set(answer["result"]) == {"messageReceiptId"}
    assert invocation["data"] == {"n": 1}
    assert invocation["metadata"]["message_id"] == answer["result"]["messageReceiptId"]
    assert (invocation["metadata"]["attempt"], invocation["metadata"]["queue"]) == (1, "jobs")


def test_a_call_with_the_action_enqueue_needs_no_id(site: Site) -> None:
    site.worker.send({"type": "registerfunction", "id": site.id("f")})
    call = {"type": "invokefunction", "function_id": site.id("f"), "data": 2}
    site.worker.send({**call, "action": {"type": "enqueue", "queue": "jobs"}})

    invocation = site.next_invocation("f")
    site.answer(invocation, None)
    assert invocation["data"] == 2


@pytest.mark.parametrize(
    ("queue", "data"), [("nobody-configured-this", {}), ("ordered", {"group": None})]
)
def test_a_call_that_cannot_be_put_into_its_queue_says_so(
    site: Site, queue: str, data: Any
) -> None:
    action = {"type": "enqueue", "queue": queue}
    with pytest.raises(CallFailed) as failed:
        site.worker.start_call(site.id("f"), data, action=action).result(10)

    assert failed.value.code == "enqueue_error"
    assert queue in failed.value.message


def test_a_delivery_tells_its_attempt_its_message_and_its_topic(site: Site) -> None:
    site.worker.send({"type": "registerfunction", "id": site.id("f")})
    config = {"topic": site.name, "queue_config": {"backoffDelayMs": 10}}
    site.worker.bind("queue", site.id("f"), config)
    receipt = site.worker.call("enqueue", {"topic": site.name, "data": [1], "with_receipt": True})

    first = site.next_invocation("f")
    error = {"code": "busy", "message": "later"}
    members = {name: first[name] for name in ("invocation_id", "function_id")}
    site.worker.send({"type": "invocationresult", **members, "error": error})
    second = site.next_invocation("f")
    site.answer(second, None)

    told = {"message_id": receipt["message_id"], "topic": site.name}
    assert first["metadata"] == {**told, "attempt": 1}
    assert second["metadata"] == {**told, "attempt": 2}
    assert first["data"] == second["data"] == [1]
    assert receipt == {"message_id": str(uuid.UUID(receipt["message_id"])), "duplicate": False}


def test_what_celery_calls_is_not_there_for_workers(site: Site) -> None:
    with pytest.raises(CallFailed) as failed:
        site.worker.call("engine::queue::drain", {"subscriptions": [1]})

    assert failed.value.code == "function_not_found"
    listed = site.worker.call("engine::functions::list", {"include_internal": True})["functions"]
    assert "engine::queue::drain" not in {each["function_id"] for each in listed}


def test_a_topic_is_listed_with_its_subscribers(site: Site) -> None:
    site.worker.serve(site.id("f"), lambda data: None)
    site.worker.bind("durable:subscriber", site.id("f"), {"topic": site.name})

    def listed() -> list[dict[str, Any]]:
        topics = site.worker.call("engine::queue::list_topics", {})
        return [each for each in topics if each["name"] == site.name]

    (topic,) = wait_until(listed, "the topic is listed")
    assert topic["subscriber_count"] == 1
