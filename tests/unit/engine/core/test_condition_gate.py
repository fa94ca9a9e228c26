"""A trigger's condition is asked about one event of a place after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain, repeat

import pytest

from engine.core import condition_gate, log_limit
from engine.core.condition_gate import ConditionGate
from engine.core.engine import Engine
from engine.core.triggers import Trigger
from tests.fakes import FakeWorker

TRIGGER = Trigger("t", "state", "on::change")


@pytest.fixture
def worker(connect: Callable[..., FakeWorker]) -> FakeWorker:
    worker = connect()
    worker.function("on::change")
    worker.function("may::pass")
    return worker


async def settled() -> None:
    """Let the loop call back what is done."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def called(worker: FakeWorker) -> list[tuple[str, int]]:
    return [(frame["function_id"], frame["data"]) for frame in worker.take()]


async def test_without_a_condition_the_handler_is_called_at_once(
    engine: Engine, worker: FakeWorker
) -> None:
    gate = ConditionGate(engine, TRIGGER, None)
    gate.fire("place", b"1")
    gate.fire("place", b"2")
    assert called(worker) == [("on::change", 1), ("on::change", 2)]


async def test_events_of_one_place_wait_and_those_of_others_do_not(
    engine: Engine, worker: FakeWorker
) -> None:
    gate = ConditionGate(engine, TRIGGER, "may::pass")
    for place, payload in (("a", b"1"), ("a", b"2"), ("b", b"3")):
        gate.fire(place, payload)
    assert called(worker) == [("may::pass", 1), ("may::pass", 3)]


async def test_the_oldest_that_wait_are_dropped(
    engine: Engine, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition_gate, "MAX_WAITING", 2)
    gate = ConditionGate(engine, TRIGGER, "may::pass")
    for payload in (b"1", b"2", b"3"):
        gate.fire("a", payload)
    (first,) = worker.take()
    worker.result(first, False)
    await settled()
    assert called(worker) == [("may::pass", 3)]


async def test_what_waits_is_dropped_when_it_becomes_too_large(
    engine: Engine, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condition_gate, "MAX_WAITING_BYTES", 4)
    gate = ConditionGate(engine, TRIGGER, "may::pass")
    for place, payload in (("a", b"11"), ("a", b"2"), ("b", b"3"), ("a", b"4"), ("a", b"55555")):
        gate.fire(place, payload)
    first, _ = worker.take()
    worker.result(first, True)
    await settled()
    assert called(worker) == [("on::change", 11)]
    gate.fire("a", b"66")
    assert called(worker) == [("may::pass", 66)]


async def test_a_handler_may_end_the_trigger_that_called_it(
    engine: Engine, worker: FakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    engine.register_function("ends::it", lambda call: gate.close())
    gate = ConditionGate(engine, Trigger("t", "state", "ends::it"), "may::pass")
    gate.fire("a", b"1")
    gate.fire("a", b"2")
    worker.result(worker.take_one(), True)
    await settled()
    assert called(worker) == []
    assert caplog.messages == []


async def test_what_fails_is_told_once_a_second(
    engine: Engine,
    worker: FakeWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = chain([0.0, 0.1, 0.2], repeat(2.0))
    monkeypatch.setattr(log_limit, "monotonic", lambda: next(clock))
    gate = ConditionGate(engine, TRIGGER, None)
    for payload in (b"1", b"2", b"3", b"4"):
        gate.fire("a", payload)
        worker.error(worker.take_one(), {"code": "boom", "message": "told to fail"})
    assert caplog.messages == [
        "state trigger: handler failed: boom: told to fail",
        "state trigger: handler failed: boom: told to fail (and 2 more)",
    ]


async def test_nothing_is_called_behind_the_end_of_a_trigger(
    engine: Engine, worker: FakeWorker
) -> None:
    gate = ConditionGate(engine, TRIGGER, "may::pass")
    gate.fire("a", b"1")
    (asked,) = worker.take()
    gate.close()
    worker.result(asked, True)
    await settled()
    assert called(worker) == []
