"""Whatever is killed, and whenever: no message is lost, stuck, out of order or finished twice.

By hand with more: `III_CRASH_SEEDS=20 III_CRASH_MESSAGES=10000`.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from websockets.exceptions import WebSocketException

from tests.acceptance.deployment import Deployment, kill_and_start
from tests.acceptance.queue_consumer import Consumer, Note
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.waiting import wait_until

Victim = Literal["engine", "worker", "celery", "beat", "redis", "postgres"]

SEEDS: Final = range(int(os.environ.get("III_CRASH_SEEDS", "3")))
MESSAGES: Final = int(os.environ.get("III_CRASH_MESSAGES", "3000"))
KILLS: Final = 2
GROUPS: Final = 20
IN_FLIGHT: Final = 64

# A killed engine counts as live on PostgreSQL until its lease is over.
FINISH_LIMIT_S: Final = 120

# So long is a note at most, with the numbers of a short run.
_NOTE_BYTES: Final = len("ordered 01234 12\n")


class Producer:
    """Puts messages into two topics and a named queue, over connections that may break.

    Every fourth message goes into the FIFO topic, in groups in turn; every fourth is a call of a
    named queue.

    Attributes:
        acknowledged: the numbers of messages that were answered for.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.acknowledged: set[int] = set()
        self._url = url
        self._prefix = prefix
        self._next = 0
        self._free = threading.Semaphore(IN_FLIGHT)
        self._has_failed = False

    def run(self) -> None:
        """Put them all in; what was not answered for is not put in again."""
        while self._next < MESSAGES:
            with suppress(OSError, WebSocketException), RawWorker(self._url) as worker:
                self._run(worker)

    def _run(self, worker: RawWorker) -> None:
        while self._next < MESSAGES:
            if self._has_failed:
                wait_until(lambda: self._is_taken(worker), "messages are taken again", 60)
                self._has_failed = False
            self._put(worker)
        for _ in range(IN_FLIGHT):
            assert self._free.acquire(timeout=60), "answers are missing"
        self._free.release(IN_FLIGHT)

    def _is_taken(self, worker: RawWorker) -> bool:
        """Put in one message and tell whether it was answered for."""
        try:
            self._put(worker).result(30)
        except CallFailed:
            return False
        return True

    def _put(self, worker: RawWorker) -> Future[Any]:
        assert self._free.acquire(timeout=60), "an answer is missing"
        number, self._next = self._next, self._next + 1

        def answered(future: Future[Any]) -> None:
            self._free.release()
            if future.exception() is None:
                self.acknowledged.add(number)
            else:
                self._has_failed = True

        try:
            future = self._start(worker, number)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(answered)
        return future

    def _start(self, worker: RawWorker, number: int) -> Future[Any]:
        group = f"{number // 4 % GROUPS:02}"
        data = {"number": number, "group": group}
        if kind(number) == "named":
            action = {"type": "enqueue", "queue": "jobs"}
            return worker.start_call(f"{self._prefix}::named", data, action=action)
        message = {"topic": f"{self._prefix}-{kind(number)}", "data": data}
        if kind(number) == "fifo":
            message["message_group"] = group
        return worker.start_call("enqueue", message)


def kind(number: int) -> str:
    """Return where a message goes."""
    return ("standard", "fifo", "standard", "named")[number % 4]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", ["engine", "worker"])
def test_every_message_is_processed_on_sqlite(
    embedded_deployment: Deployment, victim: Victim, seed: int, tmp_path: Path
) -> None:
    survive(embedded_deployment, victim, seed, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", ["engine", "worker", "celery", "beat", "redis", "postgres"])
def test_every_message_is_processed_with_services(
    services_deployment: Deployment, victim: Victim, seed: int, tmp_path: Path
) -> None:
    survive(services_deployment, victim, seed, tmp_path)


def survive(deployment: Deployment, victim: Victim, seed: int, folder: Path) -> None:
    """Put messages in while something is killed at random moments; check what was made of them."""
    prefix = f"{victim}-{seed}"
    url = deployment.engine.worker_url
    consumer, producer = Consumer(url, prefix, folder), Producer(url, prefix)
    before = named_delivered(url)
    consumer.start()
    try:
        running = threading.Thread(target=producer.run, name="producer")
        running.start()
        kill = killing(deployment, consumer, victim)
        for moment in moments(seed):
            wait_until(partial(consumer.has_noted, moment), "so much is done", 90)
            kill()
        running.join(90)
        assert not running.is_alive(), "not all messages were put in"
        with RawWorker(url) as asking:
            check(asking, prefix, producer, consumer, before)
    finally:
        consumer.kill()


def moments(seed: int) -> list[int]:
    """Return after how many bytes of notes something is killed."""
    # Each message of the standard topic is noted by two functions.
    in_all = MESSAGES * 3 // 2 * _NOTE_BYTES
    chosen = random.Random(seed)
    return sorted(chosen.randrange(in_all // 20, in_all * 7 // 10) for _ in range(KILLS))


def killing(deployment: Deployment, consumer: Consumer, victim: Victim) -> Callable[[], None]:
    """Return what kills a victim and starts it again."""
    victims = {
        "engine": deployment.engine,
        "worker": consumer,
        "celery": deployment.celery_worker,
        "beat": deployment.beat,
        "redis": deployment.redis,
        "postgres": deployment.postgres,
    }
    chosen = victims[victim]
    assert chosen is not None
    return partial(kill_and_start, chosen)


def check(
    worker: RawWorker, prefix: str, producer: Producer, consumer: Consumer, named_before: int
) -> None:
    """Assert that every message was processed and finished once, and each group in order."""
    queues = (f"{prefix}-standard", f"{prefix}-fifo", "jobs")
    wait_until(lambda: depths(worker, queues) == [0, 0, 0], "nothing is stuck", FINISH_LIMIT_S)
    stats = [worker.call("engine::queue::stats", {"queue": queue}) for queue in queues]
    assert [each["dlq_depth"] for each in stats] == [0, 0, 0]

    notes = consumer.notes()
    done = {function: numbers(notes, function) for function in FUNCTIONS}
    for function, queue in FUNCTIONS.items():
        promised = {number for number in producer.acknowledged if kind(number) == queue}
        assert not promised - done[function], f"{function} has never got some"
    assert [each["delivered"] for each in stats] == [
        len(done["first"]) + len(done["second"]),
        len(done["ordered"]),
        named_before + len(done["named"]),
    ]
    for group in {note.group for note in notes}:
        order = [note.number for note in notes if (note.function, note.group) == ("ordered", group)]
        assert order == sorted(order), f"group {group}"
    assert len(producer.acknowledged) > MESSAGES // 2


# What each function of the consumer gets.
FUNCTIONS: Final = {"first": "standard", "second": "standard", "ordered": "fifo", "named": "named"}


def numbers(notes: list[Note], function: str) -> set[int]:
    """Return which messages a function has got."""
    return {note.number for note in notes if note.function == function}


def depths(worker: RawWorker, queues: tuple[str, ...]) -> list[int] | str:
    """Return how many messages of each queue are not finished, or why that is not known now."""
    try:
        return [worker.call("engine::queue::stats", {"queue": queue})["depth"] for queue in queues]
    except CallFailed as error:  # the database is not back yet
        return str(error)


def named_delivered(url: str) -> int:
    """Return how many calls of the named queue were finished so far."""
    with RawWorker(url) as worker:
        delivered: int = worker.call("engine::queue::stats", {"queue": "jobs"})["delivered"]
        return delivered
