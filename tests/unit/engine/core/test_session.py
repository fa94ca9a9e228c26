"""One connected worker: calls, answers, registrations, and what happens when it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.core.engine import Engine
from engine.core.errors import InvocationFailed
from engine.core.session import SERVICE_RESTART
from tests.fakes import FakeWorker

Connect = Callable[..., FakeWorker]
OLD_PYTHON = {"runtime": "python", "version": "0.11.6", "name": "old"}
NEW_PYTHON = {"runtime": "python", "version": "0.25.0", "name": "new"}


async def test_the_engine_speaks_first(connect: Connect) -> None:
    first, second = connect(), connect()

    assert set(first.greeting) == {"type", "worker_id", "reattach_token"}
    assert first.greeting["type"] == "workerregistered"
    assert first.greeting["worker_id"] != second.greeting["worker_id"]


async def test_a_call_reaches_its_callee_and_the_answer_its_caller(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("orders::get")

    call_id = caller.invoke("orders::get", {"id": 42}, traceparent="00-t", baggage="k=v")
    invocation = callee.take_one()
    callee.result(invocation, {"total": 7})

    assert invocation == {
        "type": "invokefunction",
        "invocation_id": invocation["invocation_id"],
        "function_id": "orders::get",
        "data": {"id": 42},
        "traceparent": "00-t",
        "baggage": "k=v",
    }
    assert invocation["invocation_id"] != call_id
    assert caller.take_one() == {
        "type": "invocationresult",
        "invocation_id": call_id,
        "function_id": "orders::get",
        "result": {"total": 7},
        "traceparent": "00-t",
        "baggage": "k=v",
    }


async def test_a_worker_may_call_itself(connect: Connect) -> None:
    worker = connect()
    worker.function("a::b")

    call_id = worker.invoke("a::b", 1)
    worker.result(worker.take_one(), 2)

    assert worker.take_one()["invocation_id"] == call_id


async def test_the_same_id_from_two_callers_does_not_cross(connect: Connect) -> None:
    first, second, callee = connect(), connect(), connect()
    callee.function("f")

    for caller in (first, second):
        caller.send("invokefunction", invocation_id="same", function_id="f", data=None)
    one, two = callee.take()
    callee.result(two, "second")
    callee.result(one, "first")

    assert (first.take_one()["result"], second.take_one()["result"]) == ("first", "second")


async def test_missing_data_is_null_for_the_callee(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")

    caller.send("invokefunction", invocation_id="i", function_id="f")

    assert callee.take_one()["data"] is None


async def test_metadata_passes_beside_the_payload(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")

    caller.invoke("f", 1, metadata={"tenant": "a"})

    assert callee.take_one()["metadata"] == {"tenant": "a"}


@pytest.mark.parametrize(
    "members",
    [
        {"invocation_id": "i", "action": {"type": "void"}},
        {"action": {"type": "void"}},
        {"invocation_id": None},
        {},
    ],
)
async def test_a_call_that_nobody_waits_for_is_run_and_never_answered(
    connect: Connect, members: dict[str, Any]
) -> None:
    caller, callee = connect(), connect()
    callee.function("f")

    caller.send("invokefunction", function_id="f", data=1, **members)
    invocation = callee.take_one()
    callee.result(invocation, "done")

    assert invocation["data"] == 1
    assert invocation["invocation_id"]
    assert caller.take() == []


async def test_a_void_call_of_an_unknown_function_is_not_answered(connect: Connect) -> None:
    caller = connect()

    caller.void("nope")

    assert caller.take() == []


async def test_an_unknown_function_is_refused_at_once(connect: Connect) -> None:
    answer = connect().call("nope")

    assert answer["error"] == {"code": "function_not_found", "message": "Function nope not found"}


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ({"type": "enqueue", "queue": "q"}, "enqueue_error"),  # without a queue module
        ({"type": "dance"}, "deserialization_error"),
        ("void", "deserialization_error"),
    ],
)
async def test_other_actions_are_answered_with_an_error(
    connect: Connect, action: Any, code: str
) -> None:
    caller, callee = connect(), connect()
    callee.function("f")

    assert caller.call("f", action=action)["error"]["code"] == code
    assert callee.take() == []


async def test_generation_b_names_the_function_by_its_path(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.send("registerfunction", function_path="svc.f")

    caller.send("invokefunction", invocation_id="i", function_path="svc.f", data=1)

    assert callee.take_one()["function_id"] == "svc.f"


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (
            {"code": "mine", "message": "m", "stacktrace": "s"},
            {"code": "mine", "message": "m", "stacktrace": "s"},
        ),
        ({"code": "mine", "message": "m", "stacktrace": None}, {"code": "mine", "message": "m"}),
        ("boom", {"code": "invocation_failed", "message": '"boom"'}),
    ],
)
async def test_the_callees_error_reaches_the_caller(
    connect: Connect, sent: Any, received: Any
) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    caller.invoke("f")

    callee.error(callee.take_one(), sent)

    answer = caller.take_one()
    assert answer["error"] == received
    assert "result" not in answer


async def test_a_null_error_beside_a_result_is_a_success(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    caller.invoke("f")
    invocation = callee.take_one()

    callee.send("invocationresult", invocation_id=invocation["invocation_id"], result=1, error=None)

    answer = caller.take_one()
    assert answer["result"] == 1
    assert "error" not in answer


async def test_a_result_is_taken_only_from_whoever_got_the_call(connect: Connect) -> None:
    caller, callee, stranger = connect(), connect(), connect()
    callee.function("f")
    caller.invoke("f")
    invocation = callee.take_one()

    stranger.result(invocation, "forged")
    assert caller.take() == []

    callee.result(invocation, "real")
    callee.result(invocation, "again")
    assert caller.take_one()["result"] == "real"


async def test_calls_of_one_caller_arrive_in_order(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")

    for number in range(300):
        caller.invoke("f", number)

    assert [each["data"] for each in callee.take()] == list(range(300))


async def test_a_full_queue_refuses_the_call_and_forgets_it(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    callee.outbox.is_full = True

    answer = caller.call("f")

    assert answer["error"]["code"] == "channel_send_failed"
    assert callee.session.executing == {}
    assert caller.session.calling == set()


async def test_old_python_workers_get_no_frame_over_one_mebibyte(connect: Connect) -> None:
    old, new = connect(OLD_PYTHON), connect(NEW_PYTHON)
    large = "x" * (1024 * 1024)
    for worker in (old, new):
        worker.function(f"{worker.session.name}::f")

    assert new.call("old::f", large)["error"]["code"] == "payload_too_large"
    assert old.take() == []

    old.invoke("new::f", 1)
    new.result(new.take_one(), large)
    assert old.take_one()["error"]["code"] == "payload_too_large"


async def test_rust_workers_get_nothing_that_they_would_drop(connect: Connect) -> None:
    rust, python = connect({"runtime": "rust", "name": "rust"}), connect(NEW_PYTHON)
    rust.function("rust::f")
    python.function("python::f")
    call = b'{"type":"invokefunction","invocation_id":"i","function_id":"%s","data":1e400}'

    python.raw(call % b"rust::f")
    assert python.take_one()["error"]["code"] == "deserialization_error"
    assert rust.take() == []

    rust.invoke("python::f", 1)
    invocation_id = python.take_one()["invocation_id"]
    python.raw(
        b'{"type":"invocationresult","invocation_id":"%s","result":1e400}' % invocation_id.encode()
    )
    assert rust.take_one()["error"]["code"] == "deserialization_error"


# --- broken frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"invokefunction","invocation_id":"i","function_id":"f","data":NaN}',
        b'{"function_id":"f","data":{"a":1,},"invocation_id":"i","type":"invokefunction"}',
        b'{"type":"invokefunction","invocation_id":"i","function_id":"f","data":"\\ud800"}',
        b'{"type":"invokefunction","invocation_id":"i","function_id":"f","baggage":5}',
    ],
)
async def test_a_call_that_cannot_be_decoded_is_answered(connect: Connect, payload: bytes) -> None:
    caller, callee = connect(), connect()
    callee.function("f")

    caller.raw(payload)

    answer = caller.take_one()
    assert (answer["invocation_id"], answer["function_id"]) == ("i", "f")
    assert answer["error"]["code"] == "deserialization_error"
    assert callee.take() == []


async def test_an_answer_that_cannot_be_decoded_ends_the_call(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    caller.invoke("f")
    invocation_id = callee.take_one()["invocation_id"]

    callee.raw(
        b'{"type":"invocationresult","invocation_id":"%s","result":NaN}' % invocation_id.encode()
    )

    assert caller.take_one()["error"]["code"] == "deserialization_error"
    assert callee.session.executing == {}


async def test_a_call_without_a_function_is_answered(connect: Connect) -> None:
    caller = connect()

    caller.send("invokefunction", invocation_id="i", data=1)

    answer = caller.take_one()
    assert answer["error"]["code"] == "deserialization_error"
    assert answer["function_id"] == ""


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"   ",
        b"[]",
        b"{}",
        b"not json",
        b'{"type":"unheard"}',
        b'{"type":5}',
        b'{"type":"registerfunction"}',
        b'{"type":"registerfunction","id":""}',
        b'{"type":"registerfunction","id":["x"]}',
        b'{"type":"registertrigger","id":"t"}',
        b'{"type":"registertriggertype","id":""}',
        b'{"type":"unregistertrigger","id":"nope"}',
        b'{"type":"unregisterfunction","id":"nope"}',
        b'{"type":"reattach"}',
        b'{"type":"reattach","previous_worker_id":"x","reattach_token":"y"}',
        b'{"type":"invocationresult","invocation_id":"unknown","result":1}',
        b'{"type":"invocationresult","result":1}',
        b'{"type":"triggerregistrationresult","id":"unknown"}',
        b'{"type":"pong"}',
        b'{"type":"observe","id":"x","source":{},"target":{}}',
        b"[" * 100_000,
    ],
)
async def test_what_means_nothing_is_ignored(connect: Connect, payload: bytes) -> None:
    worker = connect()

    worker.raw(payload)
    worker.send("ping")

    assert worker.take_one() == {"type": "pong"}
    assert worker.outbox.closed is None


async def test_a_binary_json_message_counts_and_other_binary_is_ignored(connect: Connect) -> None:
    worker = connect()

    for payload in (b"OTLP{}", b"MTRC", b"LOGS{broken", b"\x00\xff", b"{\xff", b""):
        worker.session.on_binary(payload)
    worker.session.on_binary(b'{"type":"ping"}')

    assert worker.take_one() == {"type": "pong"}


# --- registrations ----------------------------------------------------------------------------


async def test_the_newest_owner_serves_and_the_older_one_takes_over(connect: Connect) -> None:
    caller, older, newer = connect(), connect(), connect()
    older.function("f")
    newer.function("f")

    caller.invoke("f", 1)
    assert newer.take_one()["data"] == 1
    assert older.take() == []

    newer.leave()
    caller.take()
    caller.invoke("f", 2)
    assert older.take_one()["data"] == 2


async def test_the_older_connection_of_a_reconnect_takes_nothing_along(
    connect: Connect, engine: Engine
) -> None:
    caller, stale, fresh = connect(), connect(), connect()
    for worker in (stale, fresh):
        worker.function("f")
        worker.trigger("t", "later", "f")

    stale.leave()

    caller.invoke("f")
    assert fresh.take_one()["function_id"] == "f"
    assert [each.owner for each in engine.triggers.by_id("t")] == [fresh.session]


async def test_only_the_owner_unregisters_a_function(connect: Connect) -> None:
    caller, owner, stranger = connect(), connect(), connect()
    owner.function("f")

    stranger.send("unregisterfunction", id="f")
    caller.invoke("f")
    assert owner.take_one()["function_id"] == "f"

    owner.send("unregisterfunction", id="f")
    assert caller.call("f")["error"]["code"] == "function_not_found"


async def test_registering_again_replaces_the_definition(connect: Connect, engine: Engine) -> None:
    worker = connect()

    worker.function("f", description="old")
    worker.function("f", description="new")

    function = engine.functions.find("f")
    assert function is not None
    assert [each.description for each in function.owners] == ["new"]


@pytest.mark.parametrize(
    ("info", "frames"),
    [
        (OLD_PYTHON, []),
        (
            NEW_PYTHON,
            [
                {
                    "type": "registrationrejected",
                    "code": "FUNCTION_NAMESPACE_CONFLICT",
                    "namespace": "default",
                    "function_id": "engine::functions::list",
                    "owner_worker_id": "",
                }
            ],
        ),
    ],
)
async def test_built_in_functions_cannot_be_taken(
    connect: Connect, info: dict[str, Any], frames: list[Any]
) -> None:
    worker = connect(info)

    worker.function("engine::functions::list")

    assert worker.take() == frames
    assert "functions" in worker.call("engine::functions::list")["result"]


async def test_built_in_trigger_types_cannot_be_taken(connect: Connect, engine: Engine) -> None:
    worker = connect()

    worker.send("registertriggertype", id="engine::workers-available", description="")

    entry = engine.triggers.find_type("engine::workers-available")
    assert entry is not None
    assert [each.owner for each in entry.providers] == [None]


async def test_an_engine_like_id_of_an_sdk_helper_is_an_ordinary_function(
    connect: Connect,
) -> None:
    caller, callee = connect(), connect()
    callee.function("engine.on_functions_available.0b9f")

    caller.invoke("engine.on_functions_available.0b9f")

    assert callee.take_one()["function_id"] == "engine.on_functions_available.0b9f"


async def test_a_function_by_http_is_listed_and_its_calls_say_that_it_is_not_built(
    connect: Connect,
) -> None:
    worker = connect()
    worker.function("far", invocation={"url": "https://fn.example/x"})

    listed = worker.call("engine::functions::list")["result"]["functions"]

    assert [each["function_id"] for each in listed] == ["far"]
    assert worker.call("far")["error"]["code"] == "http_error"


async def test_round_robin_goes_through_all_owners(connect: Connect, engine: Engine) -> None:
    engine.invocations.is_balanced = True
    caller, first, second = connect(), connect(), connect()
    first.function("f")
    second.function("f")

    for number in range(4):
        caller.invoke("f", number)

    assert [len(first.take()), len(second.take())] == [2, 2]


# --- going ------------------------------------------------------------------------------------


async def test_calls_sent_to_a_lost_worker_fail_at_once(connect: Connect, engine: Engine) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    caller.invoke("f")
    future = engine.invoke("f", b"1")

    callee.leave()

    assert caller.take_one()["error"] == {
        "code": "invocation_stopped",
        "message": "Invocation stopped",
    }
    with pytest.raises(InvocationFailed, match="invocation_stopped"):
        await future


async def test_the_answer_to_a_lost_caller_is_dropped(connect: Connect) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    caller.invoke("f")
    invocation = callee.take_one()

    caller.leave()
    callee.result(invocation, 1)

    assert callee.session.executing == {}
    assert caller.take() == []


async def test_a_worker_that_calls_itself_can_leave(connect: Connect) -> None:
    worker = connect()
    worker.function("f")
    worker.invoke("f")

    worker.leave()

    assert worker.session.executing == {}
    assert worker.session.calling == set()


async def test_reattach_evicts_the_former_connection(connect: Connect, engine: Engine) -> None:
    caller, former = connect(), connect()
    former.function("f")
    caller.invoke("f")
    fresh = connect()

    fresh.send(
        "reattach",
        previous_worker_id=former.greeting["worker_id"],
        reattach_token=former.greeting["reattach_token"],
    )
    fresh.function("f")

    assert former.outbox.closed == SERVICE_RESTART
    assert caller.take_one()["error"]["code"] == "invocation_stopped"
    former.send("registerfunction", id="ghost")
    assert engine.functions.find("ghost") is None
    assert engine.workers.find(former.session.worker_id) is None


@pytest.mark.parametrize("wrong", ["token", "own"])
async def test_reattach_with_wrong_credentials_does_nothing(connect: Connect, wrong: str) -> None:
    former, fresh = connect(), connect()
    target = fresh if wrong == "own" else former
    token = "guess" if wrong == "token" else fresh.greeting["reattach_token"]

    fresh.send("reattach", previous_worker_id=target.greeting["worker_id"], reattach_token=token)

    assert (former.outbox.closed, fresh.outbox.closed) == (None, None)


async def test_a_silent_connection_is_no_worker(connect: Connect, engine: Engine) -> None:
    ghost, worker = connect(), connect()
    ghost.session.on_binary(b"OTLP{}")
    worker.send("ping")

    assert [each.worker_id for each in engine.workers] == [worker.session.worker_id]


# --- namespaces -------------------------------------------------------------------------------


async def test_what_was_registered_before_moves_to_the_namespace(connect: Connect) -> None:
    outsider, worker = connect(), connect()
    worker.function("f")
    worker.void("engine::workers::register", {"name": "w", "namespace": "team"})

    assert outsider.call("f")["error"]["code"] == "function_not_found"
    outsider.invoke("f", 1, namespace="team")
    assert worker.take_one()["data"] == 1
    worker.invoke("f", 2)
    assert worker.take_one()["data"] == 2


async def test_a_named_namespace_is_strict_and_a_blank_one_an_error(connect: Connect) -> None:
    worker = connect()
    worker.function("f")

    assert worker.call("f", namespace="team")["error"]["code"] == "function_not_found"
    assert worker.call("f", namespace=" ")["error"]["code"] == "INVALID_NAMESPACE"


async def test_the_first_register_call_decides_the_namespace(connect: Connect) -> None:
    worker = connect({"name": "w", "namespace": "team"})

    answer = worker.call("engine::workers::register", {"name": "w", "namespace": "other"})

    assert answer["result"] == {"success": True}
    assert worker.session.namespace == "team"


# --- the engine as a caller -------------------------------------------------------------------


async def test_the_engine_waits_on_a_future(connect: Connect, engine: Engine) -> None:
    worker = connect()
    worker.function("f")

    future = engine.invoke("f", b'{"a":1}', metadata=b'{"m":1}')
    invocation = worker.take_one()
    worker.result(invocation, {"ok": True})

    assert (invocation["data"], invocation["metadata"]) == ({"a": 1}, {"m": 1})
    assert json.loads(await future or b"") == {"ok": True}


async def test_a_cancelled_future_discards_the_answer(connect: Connect, engine: Engine) -> None:
    worker = connect()
    worker.function("f")
    future = engine.invoke("f", b"1")

    future.cancel()
    worker.result(worker.take_one(), 1)

    assert future.cancelled()
    assert worker.session.executing == {}


async def test_an_answer_without_value_is_none(connect: Connect, engine: Engine) -> None:
    worker = connect()
    worker.function("f")
    future = engine.invoke("f", b"1")

    worker.send("invocationresult", invocation_id=worker.take_one()["invocation_id"])

    assert await future is None


async def test_a_stopping_engine_lets_running_calls_finish(
    connect: Connect, engine: Engine
) -> None:
    caller, callee = connect(), connect()
    callee.function("f")
    caller.invoke("f")
    invocation = callee.take_one()

    stopping = asyncio.ensure_future(engine.stop(grace_s=30))
    await asyncio.sleep(0)
    assert callee.outbox.closed is None
    callee.result(invocation, "in time")
    await stopping

    assert caller.take_one()["result"] == "in time"
    assert [each.outbox.closed for each in (caller, callee)] == [SERVICE_RESTART] * 2
