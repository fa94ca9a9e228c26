"""Calls that are queued: `action: enqueue` (modules.md M137, M138, M140)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.modules.queue.config import NamedQueueConfig
from tests.integration.engine.modules.queue.support import QueueWorker
from tests.store_engine import Setting
from tests.waiting import eventually


@pytest.fixture
def named_queues() -> dict[str, Any]:
    return {
        "payment": NamedQueueConfig(max_retries=2, backoff_ms=20),
        "single": NamedQueueConfig(max_retries=0),
        "ordered": NamedQueueConfig(type="fifo", message_group_field="account", backoff_ms=20),
    }


class Caller:
    """Queues calls and keeps their answers."""

    def __init__(self, worker: QueueWorker) -> None:
        self.worker = worker

    async def queue(
        self, function_id: str, data: Any, action: dict[str, Any], **members: Any
    ) -> dict[str, Any]:
        """Queue a call; return its answer."""
        call_id = self.worker.invoke(
            function_id, data, action={"type": "enqueue", **action}, **members
        )
        answers: list[dict[str, Any]] = []

        async def has_answer() -> bool:
            for frame in self.worker.take():
                is_answer = frame.get("invocation_id") == call_id
                (answers if is_answer else self.worker.handled).append(frame)
            return bool(answers)

        await eventually(has_answer)
        return answers[0]


@pytest.fixture
def caller(setting: Setting) -> Caller:
    return Caller(QueueWorker(setting.engine))


async def test_a_queued_call_is_answered_with_a_receipt_and_made_later(
    caller: Caller, worker: QueueWorker
) -> None:
    """M137."""
    worker.function("orders::ship")
    answer = await caller.queue("orders::ship", {"id": 1}, {"queue": "payment"})
    assert answer["function_id"] == "orders::ship"
    (event,) = await worker.handle({"id": 1})
    assert event["function_id"] == "orders::ship"
    assert event["metadata"] == {
        "queue": "payment",
        "attempt": 1,
        "message_id": answer["result"]["messageReceiptId"],
    }
    await worker.until("payment", depth=0, delivered=1)


async def test_there_is_always_a_default_queue(caller: Caller, worker: QueueWorker) -> None:
    worker.function("f")
    await caller.queue("f", None, {"queue": "default"})
    await worker.handle(None)


async def test_a_queued_call_carries_trace_and_metadata(
    caller: Caller, worker: QueueWorker
) -> None:
    worker.function("f::g")
    await caller.queue(
        "f::g", 1, {"queue": "payment"}, baggage="k=v", traceparent="00-a-b-01", metadata={"x": 1}
    )
    event = await worker.next()
    assert (event["traceparent"], event["baggage"], event["metadata"]["x"]) == (
        "00-a-b-01",
        "k=v,iii.function.id=f%3A%3Ag",
        1,
    )


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ({"queue": "paymant"}, "did you mean `payment`?"),
        ({"queue": "zzz"}, "there are default, payment, single, ordered"),
        ({}, "`queue` is missing"),
        ({"queue": "ordered"}, "the payload needs a member `account` that is not null"),
        ({"queue": "payment", "delay_ms": -1}, "`delay_ms`"),
        ({"queue": "payment", "ttl_ms": "x"}, "$.ttl_ms"),
    ],
)
async def test_what_cannot_be_queued_is_an_enqueue_error(
    caller: Caller, action: dict[str, Any], problem: str
) -> None:
    """M138."""
    error = (await caller.queue("f", {"account": None}, action))["error"]
    assert error["code"] == "enqueue_error"
    assert problem in error["message"]


async def test_without_retries_a_failing_call_is_a_dead_letter_at_once(
    caller: Caller, worker: QueueWorker
) -> None:
    """M140."""
    worker.function("f")
    await caller.queue("f", {"id": 1}, {"queue": "single"})
    worker.fail(await worker.next())
    await worker.until("single", dlq_depth=1, depth=0, failed=1)
    (letter,) = await worker.dead_letters("single")
    assert (letter["payload"], letter["function_id"]) == ({"id": 1}, "f")


async def test_a_call_of_nobody_is_repeated_and_holds_up_no_other(
    caller: Caller, worker: QueueWorker
) -> None:
    worker.function("here")
    await caller.queue("nowhere", 1, {"queue": "payment"})
    await caller.queue("here", 2, {"queue": "payment"})
    await worker.handle(2)
    await worker.until("payment", dlq_depth=1)
    (letter,) = await worker.dead_letters("payment")
    assert (letter["error"], letter["retries"]) == (
        "function_not_found: Function nowhere not found",
        2,
    )


async def test_calls_of_one_group_are_made_in_order(caller: Caller, worker: QueueWorker) -> None:
    worker.function("f")
    payloads = [{"account": "a", "n": n} for n in range(5)]
    for each in payloads:
        await caller.queue("f", each, {"queue": "ordered"})
    await worker.handle(*payloads)


async def test_an_action_may_say_what_enqueue_may(caller: Caller, worker: QueueWorker) -> None:
    worker.function("f")
    action = {"queue": "ordered", "message_group": "g", "idempotency_key": "k"}
    first = await caller.queue("f", 1, {**action, "with_receipt": True})
    second = await caller.queue("f", 2, {**action, "with_receipt": True})
    receipt_id = first["result"]["messageReceiptId"]
    assert first["result"] == {
        "messageReceiptId": receipt_id,
        "message_id": receipt_id,
        "duplicate": False,
    }
    assert second["result"] == {**first["result"], "duplicate": True}
    await worker.handle(1)
    await worker.until("ordered", depth=0)


async def test_a_queued_call_without_an_id_has_no_answer(
    caller: Caller, worker: QueueWorker
) -> None:
    worker.function("f")
    caller.worker.send(
        "invokefunction", function_id="f", data=1, action={"type": "enqueue", "queue": "payment"}
    )
    await worker.handle(1)
    assert caller.worker.take() == []


async def test_a_queued_call_reaches_the_namespace_of_its_caller(setting: Setting) -> None:
    info = {"name": "w", "namespace": "blue"}
    other = QueueWorker(setting.engine)
    other.function("f")
    blue = QueueWorker(setting.engine)
    blue.function("f")
    blue.void("engine::workers::register", info)
    await Caller(blue).queue("f", 1, {"queue": "payment"})
    await blue.handle(1)
    assert other.take() == []


async def test_a_worker_that_provides_queues_gets_the_calls(
    setting: Setting, worker: QueueWorker
) -> None:
    provider = QueueWorker(setting.engine)
    provider.function("engine::queue::enqueue")
    call_id = worker.invoke("f", {"id": 1}, action={"type": "enqueue", "queue": "theirs"})
    event = await provider.next()
    receipt_id = event["data"].pop("messageReceiptId")
    assert event["data"] == {
        "queue": "theirs",
        "function_id": "f",
        "data": {"id": 1},
        "traceparent": None,
        "baggage": None,
    }
    provider.reply(event, None)
    (answer,) = worker.take()
    assert (answer["invocation_id"], answer["result"]) == (
        call_id,
        {"messageReceiptId": receipt_id},
    )
