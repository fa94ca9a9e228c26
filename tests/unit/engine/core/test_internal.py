"""Functions for the engine's own processes, and the connections that may call them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.core.engine import Engine
from engine.core.errors import InvocationFailed
from engine.core.functions import Call
from engine.core.workers import WorkerEvent
from tests.fakes import FakeWorker

NOT_FOUND = {"code": "function_not_found", "message": "Function engine::inside not found"}


@pytest.fixture(autouse=True)
def function(engine: Engine) -> None:
    """An internal function that answers with its payload."""

    def echo(call: Call) -> bytes:
        return call.data

    engine.register_function("engine::inside", echo, is_internal=True)


@pytest.fixture
def insider(engine: Engine) -> FakeWorker:
    """An internal connection."""
    return FakeWorker(engine, is_internal=True)


def test_an_internal_connection_calls_it(insider: FakeWorker) -> None:
    assert insider.call("engine::inside", {"a": 1})["result"] == {"a": 1}


def test_it_is_in_no_namespace_for_an_internal_connection_either(insider: FakeWorker) -> None:
    """So people's periodic tasks, which name one, cannot reach what trusts its caller."""
    assert "error" in insider.call("engine::inside", namespace="default")


def test_a_worker_does_not_find_it(connect: Callable[..., FakeWorker]) -> None:
    assert connect().call("engine::inside")["error"] == NOT_FOUND


def test_a_worker_does_not_find_it_in_any_namespace(connect: Callable[..., FakeWorker]) -> None:
    worker = connect({"namespace": "shop"})

    assert worker.call("engine::inside")["error"] == NOT_FOUND
    assert "error" in worker.call("engine::inside", namespace="default")


async def test_the_engine_calls_it_by_name_of_its_own_only(engine: Engine) -> None:
    assert await engine.invoke_internal("engine::inside", b"[1]") == b"[1]"

    with pytest.raises(InvocationFailed, match="function_not_found"):
        await engine.invoke("engine::inside", b"null")
    with pytest.raises(InvocationFailed, match="function_not_found"):
        await engine.invoke_internal("engine::functions::list", b"{}")


async def test_a_trigger_of_a_worker_does_not_reach_it(
    engine: Engine, connect: Callable[..., FakeWorker]
) -> None:
    worker = connect()
    worker.trigger("t", "anything", "engine::inside")

    with pytest.raises(InvocationFailed, match="function_not_found"):
        await engine.fire(worker.session.triggers["t"], b"null")


def test_a_worker_cannot_take_its_id(engine: Engine, connect: Callable[..., FakeWorker]) -> None:
    worker = connect()

    worker.function("engine::inside")

    assert worker.session.functions == {}


def test_its_id_cannot_be_registered_twice(engine: Engine) -> None:
    with pytest.raises(ValueError, match="registered twice"):
        engine.register_function("engine::inside", lambda call: None)


def test_it_is_in_no_listing(connect: Callable[..., FakeWorker]) -> None:
    listed = connect().call(
        "engine::functions::list", {"include_internal": True, "include_aliases": True}
    )

    ids = {each["function_id"] for each in listed["result"]["functions"]}
    assert "engine::functions::list" in ids
    assert "engine::inside" not in ids


def test_an_internal_connection_is_no_worker(engine: Engine, insider: FakeWorker) -> None:
    events: list[WorkerEvent] = []
    engine.workers.subscribe(events.append)

    insider.void("engine::workers::register", {"name": "celery-1", "runtime": "celery"})
    insider.leave()

    assert events == []
    assert len(engine.workers) == 0


def test_an_internal_connection_is_listed_when_asked_for(
    insider: FakeWorker, connect: Callable[..., FakeWorker]
) -> None:
    insider.void("engine::workers::register", {"name": "celery-1", "runtime": "celery"})
    worker = connect()

    listed = worker.call("engine::workers::list", {"include_internal": True})["result"]["workers"]
    shown = worker.call("engine::workers::list")["result"]["workers"]

    assert [each["internal"] for each in listed if each["name"] == "celery-1"] == [True]
    assert "celery-1" not in {each["name"] for each in shown}
