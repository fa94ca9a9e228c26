"""Durable queues through published SDKs of every generation."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import every_sdk, sdks_where
from tests.acceptance.queue_topic import Topic, publisher
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import NEWEST, NODE, PYTHON, RUST, Sdk
from tests.acceptance.test_calls import assert_shows_code, call_through
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until, wait_until_still

# What users of the queue run: those of the first spelling, of the second, and the newest.
_VERSIONS: Final = ("0.3.0", "0.4.1", "0.11.6", "0.22.1", "0.25.0")
GENERATIONS: Final = tuple(sdk for sdk in (*NODE, *PYTHON, *RUST) if sdk.version in _VERSIONS)

each_generation = sdks_where(lambda sdk: sdk in GENERATIONS)

VALUES: Final[tuple[Any, ...]] = (
    None,
    0,
    -1.5,
    "",
    "Grüße, 世界 🌍",
    [1, [2]],
    {"a": {"b": [None]}},
)

# SDKs try to reconnect after 1, 2, 4 … s.
COMEBACK_LIMIT_S: Final = 45


@pytest.fixture
def topic(driver: RawWorker) -> Topic:
    """A topic of the test's own."""
    return Topic(driver)


def worked(driver: RawWorker, worker: WorkerProcess) -> list[Any]:
    """Return what the worker's `work` has got so far."""
    works: list[Any] = driver.call(worker.named("worked"))
    return works


def notes_of(driver: RawWorker, worker: WorkerProcess, topic: Topic) -> list[int]:
    """Return the numbers of a topic's messages in the order in which the worker got them."""
    return [
        work["number"]
        for work in worked(driver, worker)
        if isinstance(work, dict) and str(work.get("note", "")).startswith(topic.name)
    ]


def message(topic: Topic, number: int = 0, errors: list[str] | None = None) -> dict[str, Any]:
    """Return a message for `work`: the n-th attempt fails with the n-th error."""
    return {"note": f"{topic.name} {number}", "number": number, "errors": errors or []}


# --- what is asked of every deployment ----------------------------------------------------------


def check_values(driver: RawWorker, worker: WorkerProcess) -> None:
    """Put in values through the worker's SDK, and get them as they were."""
    topic = Topic(driver)
    before = len(worked(driver, worker))
    with topic.subscribed(worker):
        for value in VALUES:
            outcome = call_through(
                driver,
                worker,
                function_id=publisher(worker.sdk),
                data={"topic": topic.name, "data": value},
            )
            assert "error" not in outcome
            assert outcome.get("result") is None
        topic.wait_until_finished()
        got = worked(driver, worker)[before:]
    assert sorted(map(json.dumps, got)) == sorted(map(json.dumps, VALUES))


def check_dead_letter(driver: RawWorker, worker: WorkerProcess) -> None:
    """Let one message fail for good and another not; redrive it when its handler is mended."""
    topic = Topic(driver)
    poison = message(topic, 1, errors=["told to fail"] * 2)
    with topic.subscribed(worker, maxRetries=1, backoffDelayMs=30):
        topic.put(poison)
        topic.put(message(topic, 2))
        wait_until(topic.dead, "the message is a dead letter")
        topic.wait_until_finished()
        (letter,) = topic.dead()
        assert letter["payload"] == poison
        assert "told to fail" in letter["error"]
        assert letter["function_id"] == worker.named("work")
        assert [entry["attempt"] for entry in letter["history"]] == [1, 2]
        assert sorted(notes_of(driver, worker, topic)) == [1, 1, 2]

        answer = driver.call("iii::queue::redrive", {"queue": topic.name})

        assert answer == {"queue": topic.name, "redriven": 1}
        topic.wait_until_finished()
        assert sorted(notes_of(driver, worker, topic)) == [1, 1, 1, 2]
        assert topic.dead() == []


def check_named_queue(driver: RawWorker, worker: WorkerProcess) -> None:
    """Put a call into a named queue through the worker's SDK; its first attempt fails."""
    topic = Topic(driver)  # only for a name of its own
    receipt = driver.call(
        worker.named("enqueue"),
        {
            "queue": "jobs",
            "function_id": worker.named("work"),
            "data": message(topic, 7, errors=["once"]),
        },
    )
    assert list(receipt) == ["messageReceiptId"]
    uuid.UUID(receipt["messageReceiptId"])
    wait_until(lambda: notes_of(driver, worker, topic) == [7, 7], "the call was tried again")


# --- embedded, on SQLite ------------------------------------------------------------------------


@every_sdk
def test_messages_arrive_as_they_were_sent(worker: WorkerProcess, driver: RawWorker) -> None:
    check_values(driver, worker)


@every_sdk
def test_an_empty_topic_is_refused_with_its_code(worker: WorkerProcess, driver: RawWorker) -> None:
    outcome = call_through(
        driver, worker, function_id=publisher(worker.sdk), data={"topic": "", "data": 1}
    )
    assert_shows_code(outcome, "topic_not_set")


@each_generation
def test_a_message_that_keeps_failing_is_a_dead_letter_until_it_is_redriven(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    check_dead_letter(driver, worker)


@sdks_where(lambda sdk: sdk.has_enqueue_action)
def test_a_call_waits_in_a_named_queue(worker: WorkerProcess, driver: RawWorker) -> None:
    check_named_queue(driver, worker)


@each_generation
def test_both_functions_of_a_topic_get_every_message_once(
    worker: WorkerProcess, driver: RawWorker, topic: Topic
) -> None:
    numbers: list[int] = []
    heard = f"driver::{uuid.uuid4()}"
    driver.serve(heard, lambda data: numbers.append(data["number"]))
    trigger = driver.bind("queue", heard, {"topic": topic.name})
    wait_until(lambda: topic.consumers == 1, "the driver has subscribed")
    with topic.subscribed(worker):
        for number in range(20):
            topic.put(message(topic, number))
        topic.wait_until_finished()

        assert sorted(numbers) == list(range(20))
        assert sorted(notes_of(driver, worker, topic)) == list(range(20))
    driver.unbind(trigger)


@each_generation
def test_a_fifo_topic_keeps_its_order_when_a_message_fails(
    worker: WorkerProcess, driver: RawWorker, topic: Topic
) -> None:
    with topic.subscribed(worker, type="fifo", concurrency=1, backoffDelayMs=30):
        for number in range(20):
            topic.put(message(topic, number, errors=["once"] if number == 5 else []))
        topic.wait_until_finished()

        assert notes_of(driver, worker, topic) == [*range(6), *range(5, 20)]


@each_generation
def test_what_a_condition_refuses_is_done(
    worker: WorkerProcess, driver: RawWorker, topic: Topic
) -> None:
    condition = f"driver::{uuid.uuid4()}"
    driver.serve(condition, lambda data: data["number"] % 2 == 0)
    with topic.subscribed(worker, config={"condition_function_id": condition}):
        for number in range(6):
            topic.put(message(topic, number))
        topic.wait_until_finished()

        assert sorted(notes_of(driver, worker, topic)) == [0, 2, 4]
        assert topic.dead() == []


@each_generation
@pytest.mark.parametrize(
    "error",
    [
        "non_retryable: no such customer",
        '{"code": "non_retryable", "message": "no such customer"}',
    ],
    ids=["text", "json"],
)
def test_a_handler_can_say_that_trying_again_is_no_use(
    worker: WorkerProcess, driver: RawWorker, topic: Topic, error: str
) -> None:
    with topic.subscribed(worker, maxRetries=5, backoffDelayMs=10):
        topic.put(message(topic, 1, errors=[error] * 6))
        wait_until(topic.dead, "the message is a dead letter")

        (letter,) = topic.dead()
        assert "no such customer" in letter["error"]
        assert notes_of(driver, worker, topic) == [1]


@each_generation
@pytest.mark.parametrize(
    "error", ["retry_after_ms: 400", '{"retry_after_ms": 400}'], ids=["text", "json"]
)
def test_a_handler_can_say_when_to_try_again(
    worker: WorkerProcess, driver: RawWorker, topic: Topic, error: str
) -> None:
    with topic.subscribed(worker, backoffDelayMs=60_000):
        began = time.monotonic()
        topic.put(message(topic, 1, errors=[error]))
        topic.wait_until_finished()

        assert time.monotonic() - began >= 0.4
        assert notes_of(driver, worker, topic) == [1, 1]


@each_generation
def test_a_subscription_that_is_taken_back_gets_nothing_more(
    worker: WorkerProcess, driver: RawWorker, topic: Topic
) -> None:
    with topic.subscribed(worker):
        topic.put(message(topic, 1))
        topic.wait_until_finished()
    wait_until(lambda: topic.consumers == 0, "the subscription is gone")
    topic.put(message(topic, 2))

    assert wait_until_still(lambda: notes_of(driver, worker, topic), "the worker") == [1]


def test_messages_that_wait_outlive_the_engine(tmp_path: Path) -> None:
    sdks = (*NEWEST, Sdk("node", "0.3.0"))
    fleet = Fleet(EngineProcess(tmp_path / "engine"), tmp_path)
    try:
        fleet.start(sdks)
        workers = [fleet[sdk] for sdk in sdks]
        with fleet.connect() as driver:
            topic = Topic(driver)
            for worker in workers:
                topic.subscribe(worker)
            for number in range(10):
                topic.put(message(topic, number), delay_ms=1_500)
            assert topic.stats()["depth"] == 10 * len(workers)

        assert fleet.engine.terminate() == 0
        fleet.engine.start()
        with fleet.connect() as driver:
            topic = Topic(driver, topic.name)
            wait_until(lambda: topic.consumers == len(workers), "all are back", COMEBACK_LIMIT_S)
            topic.wait_until_finished()
            for worker in workers:
                assert sorted(notes_of(driver, worker, topic)) == list(range(10))
    finally:
        fleet.stop()
