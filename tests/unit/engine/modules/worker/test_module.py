"""The worker module: introduction, log lines, triggers of nobody, engine-fired triggers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from engine.core.engine import Engine
from engine.modules.worker import availability, triggers
from engine.modules.worker.module import WorkerModule
from tests.fakes import FakeWorker, make_engine

Connect = Callable[..., FakeWorker]


async def until(condition: Callable[[], Any], limit_s: float = 5.0) -> Any:
    """Wait for a condition on the event loop; fail when it takes too long."""
    async with asyncio.timeout(limit_s):
        while not (value := condition()):
            await asyncio.sleep(0)
    return value


async def test_the_register_call_is_answered(connect: Connect) -> None:
    answer = connect().call("engine.workers.register", {"name": "w", "telemetry": {"x": None}})

    assert answer["result"] == {"success": True}


@pytest.mark.parametrize(
    ("namespace", "code"), [(" ", "INVALID_NAMESPACE"), (5, "deserialization_error")]
)
async def test_a_bad_register_call_gets_its_code(
    connect: Connect, namespace: Any, code: str
) -> None:
    answer = connect().call("engine::workers::register", {"name": "w", "namespace": namespace})

    assert answer["error"]["code"] == code


@pytest.mark.parametrize(
    ("function_id", "level"),
    [
        ("engine::log::trace", logging.DEBUG),
        ("engine::log::info", logging.INFO),
        ("engine.log.warn", logging.WARNING),
        ("log.error", logging.ERROR),
    ],
)
async def test_log_lines_of_workers_reach_the_engines_log(
    connect: Connect, caplog: pytest.LogCaptureFixture, function_id: str, level: int
) -> None:
    worker = connect()

    with caplog.at_level(logging.DEBUG, logger="iii.workers"):
        worker.void(function_id, {"message": "hello", "function_name": "f", "data": {"a": 1}})

    record = caplog.records[-1]
    assert (record.getMessage(), record.levelno) == ("hello", level)
    assert (record.__dict__["function_id"], record.__dict__["data"]) == ("f", '{"a":1}')


async def test_the_engine_says_how_it_is(connect: Connect) -> None:
    health = connect().call("engine::health::check")["result"]

    assert health["status"] == "healthy"
    assert health["components"] == {"WorkerModule": {"status": "healthy", "details": {}}}


async def test_a_trigger_of_nobody_survives_its_creator(connect: Connect, engine: Engine) -> None:
    creator, provider, other = connect(), connect(), connect()
    provider.send("registertriggertype", id="webhook", description="")

    call_id = creator.invoke(
        "engine::register_trigger",
        {"trigger_type": "webhook", "function_id": "f", "config": {"a": 1}},
    )
    handed = (await until(provider.take))[0]
    provider.send("triggerregistrationresult", id=handed["id"])
    answer = (await until(creator.take))[0]
    creator.leave()

    assert (answer["invocation_id"], answer["result"]) == (call_id, {"id": handed["id"]})
    assert handed["config"] == {"a": 1}
    assert len(engine.triggers.by_id(handed["id"])) == 1
    assert other.call("engine::unregister_trigger", {"id": handed["id"]})["result"] == {
        "removed": True
    }
    assert provider.take_one()["type"] == "unregistertrigger"


async def test_a_providers_refusal_fails_the_call(connect: Connect, engine: Engine) -> None:
    creator, provider = connect(), connect()
    provider.send("registertriggertype", id="webhook", description="")
    creator.invoke("engine::register_trigger", {"trigger_type": "webhook", "function_id": "f"})
    handed = (await until(provider.take))[0]

    provider.send(
        "triggerregistrationresult", id=handed["id"], error={"code": "bad", "message": "url"}
    )

    answer = (await until(creator.take))[0]
    assert answer["error"] == {"code": "trigger_registration_failed", "message": "bad: url"}
    assert len(engine.triggers) == 0


async def test_a_silent_provider_counts_as_success(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "PROVIDER_TIMEOUT_S", 0)
    creator, provider = connect(), connect()
    provider.send("registertriggertype", id="webhook", description="")

    creator.invoke("engine::register_trigger", {"trigger_type": "webhook", "function_id": "f"})

    assert "id" in (await until(creator.take))[0]["result"]


async def test_a_trigger_of_an_unknown_type_is_registered_at_once(connect: Connect) -> None:
    creator = connect()

    creator.invoke("engine::register_trigger", {"trigger_type": "later", "function_id": "f"})

    assert "id" in (await until(creator.take))[0]["result"]


async def test_a_trigger_of_another_worker_is_not_removed(connect: Connect) -> None:
    owner, stranger = connect(), connect()
    owner.trigger("t", "later", "f")

    for trigger_id in ("t", "unknown"):
        answer = stranger.call("engine::unregister_trigger", {"id": trigger_id})
        assert answer["result"] == {"removed": False}
    assert owner.call("engine::unregister_trigger", {"id": "t"})["result"] == {"removed": True}


async def test_workers_that_come_and_go_are_told_at_once(connect: Connect) -> None:
    watcher = connect()
    watcher.function("watch")
    watcher.trigger("t", "engine::workers-available", "watch")

    worker = connect({"name": "w"})
    worker.leave()

    worker_id = worker.session.worker_id
    assert [each["data"] for each in watcher.take()] == [
        {"event": "worker_connected", "worker_id": worker_id},
        {"event": "worker_metadata_updated", "worker_id": worker_id},
        {"event": "worker_disconnected", "worker_id": worker_id},
    ]


async def test_a_change_of_the_functions_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "POLL_INTERVAL_S", 0)
    engine = make_engine()
    await engine.start()
    watcher = FakeWorker(engine)
    watcher.function("watch")
    watcher.trigger("t", "engine::functions-available", "watch")

    payload = (await until(watcher.take))[0]["data"]
    watcher.function("f")
    changed = (await until(watcher.take))[0]["data"]
    await asyncio.sleep(0)  # one more look, at an unchanged list

    listed = {each["function_id"] for each in payload["functions"]}
    assert payload["event"] == "functions_changed"
    assert {"watch", "engine::functions::list"} <= listed
    assert "engine.functions.list" not in listed
    assert "f" in {each["function_id"] for each in changed["functions"]}
    assert watcher.take() == []
    await engine.stop(0)


async def test_the_callers_id_is_put_into_objects_if_the_config_says_so() -> None:
    engine = make_engine((WorkerModule, {"inject_caller_worker_id": True}))
    await engine.start()
    caller, callee = FakeWorker(engine), FakeWorker(engine)
    callee.function("f")
    caller_id = caller.session.worker_id

    for data in ({"a": 1}, {}, {"_caller_worker_id": "forged"}, [1], None):
        caller.invoke("f", data)
    future = engine.invoke("f", b"{}")

    assert [each["data"] for each in callee.take()] == [
        {"a": 1, "_caller_worker_id": caller_id},
        {"_caller_worker_id": caller_id},
        {"_caller_worker_id": caller_id},
        [1],
        None,
        {},
    ]
    future.cancel()
    await engine.stop(0)
