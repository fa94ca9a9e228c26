"""The worker protocol on every server, frame by frame."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from tests.acceptance.behaviour.conftest import Engines, Site
from tests.acceptance.engine_process import EngineProcess, Server
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.waiting import wait_until

Connect = Callable[[], RawWorker]


def test_the_engine_greets_first_and_names_every_connection_anew(running: EngineProcess) -> None:
    greetings = []
    for _ in range(2):
        with websocket(running.worker_url) as connection:
            greetings.append(json.loads(connection.recv(timeout=10)))

    assert all(set(each) == {"type", "worker_id", "reattach_token"} for each in greetings)
    assert greetings[0]["type"] == "workerregistered"
    assert len({uuid.UUID(each["worker_id"]) for each in greetings}) == 2


def test_a_call_goes_to_another_worker_and_back(site: Site, connect: Connect) -> None:
    connect().serve(site.id("double"), lambda number: number * 2)

    wait_until(lambda: _calls(site.worker, site.id("double"), 21) == 42, "the call is answered")


def _calls(worker: RawWorker, function_id: str, data: Any) -> Any:
    try:
        return worker.call(function_id, data)
    except CallFailed as error:
        return error.code


def test_a_worker_calls_its_own_function(site: Site) -> None:
    site.worker.serve(site.id("f"), lambda data: data)

    assert site.worker.call(site.id("f"), {"a": [1, None]}) == {"a": [1, None]}


def test_a_call_without_arguments_carries_null(site: Site) -> None:
    site.worker.serve(site.id("f"), lambda data: {"got": data})

    site.worker.send({"type": "ping"})
    assert site.worker.call(site.id("f")) == {"got": None}


def test_an_answer_without_value_has_neither_result_nor_error(running: EngineProcess) -> None:
    with websocket(running.worker_url) as connection:
        connection.recv(timeout=10)
        connection.send(json.dumps({"type": "registerfunction", "id": "void::f"}))
        call = {"type": "invokefunction", "invocation_id": "i", "function_id": "void::f"}
        connection.send(json.dumps(call))
        invocation = json.loads(connection.recv(timeout=10))
        del invocation["data"]
        connection.send(json.dumps({**invocation, "type": "invocationresult"}))
        answer = json.loads(connection.recv(timeout=10))

    assert answer == {"type": "invocationresult", "invocation_id": "i", "function_id": "void::f"}


def test_an_error_is_passed_on_word_for_word(site: Site, connect: Connect) -> None:
    callee = connect()
    callee.send({"type": "registerfunction", "id": site.id("f")})
    site.settle(callee)

    pending = site.worker.start_call(site.id("f"))
    invocation = site.next_invocation("f", callee)
    error = {"code": "mine", "message": "no", "stacktrace": "here"}
    callee.send(
        {
            "type": "invocationresult",
            "invocation_id": invocation["invocation_id"],
            "function_id": invocation["function_id"],
            "error": error,
        }
    )

    with pytest.raises(CallFailed, match="mine: no"):
        pending.result(10)


def test_an_unknown_function_is_answered_at_once(site: Site) -> None:
    with pytest.raises(CallFailed) as caught:
        site.worker.call("nobody::knows", limit_s=2)

    assert caught.value.code == "function_not_found"


@pytest.mark.parametrize("members", [{}, {"action": {"type": "void"}}])
def test_a_call_that_nobody_waits_for_runs_and_is_not_answered(
    site: Site, members: dict[str, Any]
) -> None:
    site.worker.send({"type": "registerfunction", "id": site.id("f")})

    site.worker.send({"type": "invokefunction", "function_id": site.id("f"), "data": 1, **members})
    invocation = site.next_invocation("f")
    site.answer(invocation, "ignored")
    site.settle()

    assert str(uuid.UUID(invocation["invocation_id"])) == invocation["invocation_id"]
    assert site.worker.frames_of("invocationresult") == []


def test_a_lost_callee_fails_its_calls_at_once(site: Site, connect: Connect) -> None:
    callee = connect()
    callee.send({"type": "registerfunction", "id": site.id("f")})
    site.settle(callee)

    pending = site.worker.start_call(site.id("f"))
    site.next_invocation("f", callee)
    callee.close()

    with pytest.raises(CallFailed, match="invocation_stopped: Invocation stopped"):
        pending.result(5)


def test_a_trigger_reaches_a_provider_that_starts_last_and_is_taken_back(
    site: Site, connect: Connect
) -> None:
    trigger_id = site.worker.bind(site.id("type"), site.id("f"), {"a": 1})
    site.settle()

    provider = connect()
    provider.send({"type": "registertriggertype", "id": site.id("type"), "description": ""})
    (handed,) = wait_until(lambda: provider.frames_of("registertrigger"), "it is handed over")
    site.worker.unbind(trigger_id)
    (taken,) = wait_until(lambda: provider.frames_of("unregistertrigger"), "it is taken back")

    assert (handed["id"], handed["config"]) == (trigger_id, {"a": 1})
    assert (taken["id"], taken["trigger_type"]) == (trigger_id, site.id("type"))


def test_a_providers_refusal_reaches_the_owner(site: Site, connect: Connect) -> None:
    provider = connect()
    provider.send({"type": "registertriggertype", "id": site.id("type"), "description": ""})
    site.settle(provider)
    trigger_id = site.worker.bind(site.id("type"), site.id("f"), {})
    wait_until(lambda: provider.frames_of("registertrigger"), "it is handed over")

    error = {"code": "trigger_registration_failed", "message": "no"}
    provider.send({"type": "triggerregistrationresult", "id": trigger_id, "error": error})

    (refusal,) = wait_until(
        lambda: site.worker.frames_of("triggerregistrationresult"), "the refusal arrives"
    )
    assert refusal["error"] == error


def test_a_telemetry_socket_is_no_worker(site: Site) -> None:
    with (
        websocket(site.engine.worker_url) as ghost,
        websocket(f"{site.engine.worker_url}/otel") as telemetry,
    ):
        greeting = json.loads(ghost.recv(timeout=10))
        for connection in (ghost, telemetry):
            connection.send(b'OTLP{"resourceSpans":[]}')
            connection.send(b"OTLP\xff broken")
            assert connection.ping().wait(10)
        telemetry.send("text is ignored")
        assert telemetry.ping().wait(10)
        listed = site.worker.call("engine::workers::list")["workers"]

    assert greeting["worker_id"] not in {each["id"] for each in listed}


def test_a_reconnecting_worker_evicts_its_former_connection(
    site: Site, running: EngineProcess
) -> None:
    with websocket(running.worker_url) as former:
        greeting = json.loads(former.recv(timeout=10))
        former.send(json.dumps({"type": "registerfunction", "id": site.id("f")}))
        wait_until(lambda: _exists(site, site.id("f")), "it is registered")
        site.worker.send(
            {
                "type": "reattach",
                "previous_worker_id": greeting["worker_id"],
                "reattach_token": greeting["reattach_token"],
            }
        )
        site.settle()

        assert not _exists(site, site.id("f"))
        with pytest.raises(Exception, match=r"1012|no close frame"):
            former.recv(timeout=10)


def _exists(site: Site, function_id: str) -> bool:
    answer = site.worker.call("engine::functions::info", {"function_ids": [function_id]})
    return "error" not in answer["functions"][0]


@pytest.mark.parametrize("size", [900_000, 2_000_000, 20_000_000])
def test_large_messages_pass_in_both_directions(site: Site, size: int) -> None:
    site.worker.serve(site.id("f"), lambda data: data)

    assert site.worker.call(site.id("f"), "x" * size) == "x" * size


def test_a_message_over_64_mib_ends_the_connection_and_nothing_else(
    site: Site, server: Server
) -> None:
    with websocket(site.engine.worker_url, max_size=None) as connection:
        connection.recv(timeout=10)
        with pytest.raises(Exception, match=r"1009|no close frame|reset|closed"):
            _send_and_receive(connection, "x" * (65 * 1024 * 1024))

    assert "workers" in site.worker.call("engine::workers::list")


def _send_and_receive(connection: ClientConnection, message: str) -> None:
    connection.send(message)
    connection.recv(timeout=30)


def test_a_message_may_come_in_fragments(running: EngineProcess) -> None:
    with websocket(running.worker_url) as connection:
        connection.recv(timeout=10)
        connection.send(iter(['{"ty', 'pe":', '"ping"}']))

        assert json.loads(connection.recv(timeout=10)) == {"type": "pong"}


def test_channel_sockets_are_refused_with_404(running: EngineProcess, server: Server) -> None:
    url = f"{running.worker_url}/ws/channels/x?key=y&dir=read"
    with pytest.raises(InvalidStatus) as caught, websocket(url):
        pass

    # Daphne can refuse an upgrade with 403 only.
    assert caught.value.response.status_code == (403 if server == "daphne" else 404)


def test_any_other_path_is_a_worker(running: EngineProcess) -> None:
    with websocket(f"{running.worker_url}/some/where?token=x") as connection:
        assert json.loads(connection.recv(timeout=10))["type"] == "workerregistered"


def test_plain_http_on_the_worker_port_is_answered(site: Site) -> None:
    answer = site.client.get(f"http://localhost:{site.engine.worker_port}/")

    assert 400 <= answer.status_code < 500


def test_functions_and_workers_are_announced(site: Site, connect: Connect) -> None:
    site.worker.send({"type": "registerfunction", "id": site.id("workers")})
    site.worker.send({"type": "registerfunction", "id": site.id("functions")})
    site.worker.bind("engine::workers-available", site.id("workers"), {})
    site.worker.bind("engine::functions-available", site.id("functions"), {})
    site.settle()

    other = connect()
    other.send({"type": "registerfunction", "id": site.id("new")})
    event = site.next_invocation("workers")["data"]
    change = site.next_invocation("functions")["data"]

    assert event["event"] == "worker_connected"
    assert change["event"] == "functions_changed"
    assert {"function_id"} <= set(change["functions"][0])


def test_sigterm_ends_running_calls_first_and_every_port_after(
    engines: Engines, server: Server
) -> None:
    engine = engines.fresh(server)
    worker = RawWorker(engine.worker_url)
    worker.send({"type": "registerfunction", "id": "slow::f"})
    pending = worker.start_call("slow::f")
    (invocation,) = wait_until(lambda: worker.frames_of("invokefunction"), "it is called")

    engine.ask_to_stop()
    wait_until(lambda: not engine.accepts(engine.http_port), "the HTTP port closes")
    worker.send(
        {
            "type": "invocationresult",
            "invocation_id": invocation["invocation_id"],
            "function_id": "slow::f",
            "result": "in time",
        }
    )

    assert pending.result(10) == "in time"
    assert engine.terminate() == 0
    assert not any(engine.accepts(port) for port in (engine.worker_port, engine.http_port))
    wait_until(lambda: worker.close_code is not None, "the worker's socket is closed")
    assert worker.close_code not in {1000, 1001, 1005}
