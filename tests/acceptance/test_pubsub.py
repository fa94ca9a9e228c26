"""Publish and subscribe through every SDK."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import Any, Final

import pytest
from websockets.sync.client import connect

from tests.acceptance.engine_process import Server
from tests.acceptance.fleet import Fleet, Fleets
from tests.acceptance.placements import every_sdk
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import Sdk
from tests.acceptance.test_calls import assert_shows_code, call_through, each_partner
from tests.acceptance.worker_process import WorkerProcess
from tests.bench.procfs import memory
from tests.waiting import wait_until

# More than the queue of a socket holds, 16 MiB, and what the kernel holds beside it.
MESSAGES: Final = 6_000
BATCH: Final = 100
TEXT: Final = "x" * 8_000
GROWTH_KIB: Final = 64 * 1024


def subscribe(driver: RawWorker, worker: WorkerProcess, function_id: str, topic: str) -> None:
    """Let a worker subscribe a function; return when the engine knows it."""
    bind = {"trigger_type": "subscribe", "function_id": function_id, "config": {"topic": topic}}
    driver.call(worker.named("bind"), bind)
    wait_until(lambda: is_bound(driver, function_id, topic), "the subscription is bound")


def is_bound(driver: RawWorker, function_id: str, topic: str) -> bool:
    listed = driver.call("engine::registered-triggers::list")["registered_triggers"]
    return any(
        (each["function_id"], each["config"]) == (function_id, {"topic": topic}) for each in listed
    )


@every_sdk
def test_a_message_reaches_all_subscribers_and_the_publisher_goes_on(
    worker: WorkerProcess, driver: RawWorker, fleet: Fleet
) -> None:
    topic, heard = f"topic-{uuid.uuid4()}", f"driver::{uuid.uuid4()}"
    messages: list[Any] = []
    driver.serve(heard, messages.append)
    remembering = worker.named("remember")
    subscribe(driver, worker, heard, topic)
    subscribe(driver, worker, remembering, topic)
    subscribe(driver, worker, worker.named("fail"), topic)

    notes = [{"note": f"{topic} {number}"} for number in range(20)]
    for note in notes:
        outcome = call_through(
            driver, worker, function_id="publish", data={"topic": topic, "data": note}
        )
        assert "error" not in outcome
        assert outcome.get("result") is None
    call_through(
        driver, worker, function_id="publish", data={"topic": "another", "data": {"note": topic}}
    )

    wait_until(lambda: len(messages) == len(notes), "all messages have come")
    assert messages == notes
    wait_until(
        lambda: {note["note"] for note in notes} <= set(driver.call(worker.named("remembered"))),
        "the worker has heard its own messages",
    )
    assert topic not in driver.call(worker.named("remembered"))
    for function_id in (heard, remembering, worker.named("fail")):
        driver.call(worker.named("unbind"), {"function_id": function_id})


@every_sdk
def test_an_empty_topic_is_refused_with_its_code(worker: WorkerProcess, driver: RawWorker) -> None:
    data = {"topic": "", "data": 1}
    outcome = call_through(driver, worker, function_id="publish", data=data)
    assert_shows_code(outcome, "topic_not_set")


@every_sdk
@each_partner
def test_a_subscription_that_is_taken_back_ends_alone(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner, topic = fleet[partner_sdk], f"topic-{uuid.uuid4()}"
    left, stays = f"driver::{uuid.uuid4()}", f"driver::{uuid.uuid4()}"
    messages: list[Any] = []
    driver.serve(left, lambda data: messages.append(("left", data)))
    driver.serve(stays, lambda data: messages.append(("stays", data)))
    subscribe(driver, worker, left, topic)
    subscribe(driver, partner, stays, topic)

    driver.call(worker.named("unbind"), {"function_id": left})
    wait_until(lambda: not is_bound(driver, left, topic), "the subscription is taken back")
    driver.call("publish", {"topic": topic, "data": 1})

    wait_until(lambda: messages, "the message has come")
    assert messages == [("stays", 1)]
    driver.call(partner.named("unbind"), {"function_id": stays})


@pytest.mark.parametrize("server", ["picows", "uvicorn"])  # daphne never waits for a slow peer
def test_a_subscriber_that_does_not_read_loses_messages_alone(
    fleets: Fleets, server: Server
) -> None:
    fleet, topic = fleets[server], f"topic-{uuid.uuid4()}"
    quick, slow = f"quick::{uuid.uuid4()}", f"slow::{uuid.uuid4()}"
    heard: list[int] = []
    with (
        fleet.connect() as publisher,
        fleet.connect() as worker,
        connect(fleet.engine.worker_url, max_queue=1, max_size=None, ping_interval=None) as idle,
    ):
        worker.serve(quick, lambda data: heard.append(data["n"]))
        worker.bind("subscribe", quick, {"topic": topic})
        idle.send(json.dumps({"type": "registerfunction", "id": slow}))
        trigger = {"id": "t", "trigger_type": "subscribe", "config": {"topic": topic}}
        idle.send(json.dumps({"type": "registertrigger", "function_id": slow, **trigger}))
        for function_id in (quick, slow):
            wait_until(partial(is_bound, publisher, function_id, topic), "both are bound")
        before = memory(fleet.engine.pid).rss_kib

        for first in range(0, MESSAGES, BATCH):
            numbers = range(first, first + BATCH)
            answers = [
                publisher.start_call("publish", {"topic": topic, "data": {"n": n, "text": TEXT}})
                for n in numbers
            ]
            for answer in answers:
                assert answer.result(15) is None
            wait_until(partial(has, heard, numbers.stop), "the other subscriber has them all")

        assert heard == list(range(MESSAGES))
        assert memory(fleet.engine.pid).rss_kib - before < GROWTH_KIB
        assert "its outbound queue is full" in fleet.engine.output

        received = [number_of(idle.recv(15))]
        while received[-1] != "last":
            received.append(number_of(idle.recv(15)))
            if len(received) == MESSAGES // 4:  # there is room again
                publisher.call("publish", {"topic": topic, "data": {"n": "last"}})
        came = [number for number in received if isinstance(number, int)]
        assert came == sorted(set(came))
        assert len(came) < MESSAGES


def has(things: list[Any], count: int) -> bool:
    """Tell whether so many things have come."""
    return len(things) == count


def number_of(frame: str | bytes) -> Any:
    """Return the number of a message; None for other frames, such as the greeting."""
    data = json.loads(frame).get("data")
    return data["n"] if data else None
