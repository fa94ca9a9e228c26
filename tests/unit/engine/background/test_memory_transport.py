from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from engine.background import memory_transport, transports
from engine.background.broker import MEMORY_URL

LIMIT_S = 10.0


@pytest.fixture
def connection() -> Iterator[Connection]:
    transports.register()
    with Connection(MEMORY_URL) as connection:
        yield connection


@pytest.fixture
def queue() -> Queue:
    """A queue that no other test knows: all are of the process."""
    return Queue(f"test-{uuid.uuid4()}")


def put(queue: Queue, body: Any) -> None:
    """Put a message into a queue, over a connection of its own."""
    with Connection(MEMORY_URL) as connection, connection.Producer() as producer:
        producer.publish(body, routing_key=queue.name, declare=[queue])


class Waiting:
    """A thread that waits for messages of queues and keeps them."""

    def __init__(self, connection: Connection, *queues: Queue, prefetch: int = 0) -> None:
        self.messages: list[Any] = []
        self.timeouts = 0
        self._connection = connection
        self._arrived = threading.Condition()
        self._is_over = False
        channel = connection.channel()
        self._consumer = Consumer(channel, list(queues), on_message=self._keep)
        self._consumer.qos(prefetch_count=prefetch)
        self._consumer.consume()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True
        while self._thread.is_alive():
            memory_transport.BELL.interrupt()
            self._thread.join(0.01)

    def until(self, count: int) -> list[Any]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, LIMIT_S)
            return [message.payload for message in self.messages]

    def _keep(self, message: Any) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._connection.drain_events(timeout=LIMIT_S)
            except TimeoutError:
                self.timeouts += 1


def test_a_message_wakes_who_waits_for_it(connection: Connection, queue: Queue) -> None:
    with Waiting(connection, queue) as waiting:
        put(queue, "first")
        assert waiting.until(1) == ["first"]
        put(queue, "second")
        assert waiting.until(2) == ["first", "second"]


def test_messages_of_several_queues_arrive(connection: Connection, queue: Queue) -> None:
    other = Queue(f"{queue.name}-other")
    with Waiting(connection, queue, other) as waiting:
        put(other, "there")
        put(queue, "here")
        assert sorted(waiting.until(2)) == ["here", "there"]


def test_a_message_that_waits_is_found_without_waiting(
    connection: Connection, queue: Queue
) -> None:
    put(queue, "early")

    with Waiting(connection, queue) as waiting:
        assert waiting.until(1) == ["early"]


def test_an_acknowledgement_by_another_thread_makes_room(
    connection: Connection, queue: Queue
) -> None:
    put(queue, "first")
    put(queue, "second")
    with Waiting(connection, queue, prefetch=1) as waiting:
        assert waiting.until(1) == ["first"]

        waiting.messages[0].ack()

        assert waiting.until(2) == ["first", "second"]


def test_a_rejected_message_comes_again(connection: Connection, queue: Queue) -> None:
    put(queue, "again")
    with Waiting(connection, queue, prefetch=1) as waiting:
        waiting.until(1)

        waiting.messages[0].reject(requeue=True)

        assert waiting.until(2) == ["again", "again"]


def test_nobody_looks_while_nothing_happens(
    connection: Connection, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = memory_transport.Channel.drain_events

    def count(channel: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return look(channel, *arguments, **options)

    monkeypatch.setattr(memory_transport.Channel, "drain_events", count)
    with Connection(MEMORY_URL) as quiet:
        channel = quiet.channel()
        with Consumer(channel, [queue], on_message=lambda message: None):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                quiet.drain_events(timeout=0.3)
            assert time.monotonic() - began >= 0.3
    # Each of the two channels at the beginning and at the end; a poller would be at ten times that.
    assert looks <= 8


def test_whoever_waits_can_be_told_to_give_up(connection: Connection, queue: Queue) -> None:
    with Waiting(connection, queue) as waiting:
        deadline = time.monotonic() + LIMIT_S
        while not waiting.timeouts:
            assert time.monotonic() < deadline
            memory_transport.BELL.interrupt()


def test_no_message_is_lost_when_many_threads_put_into_a_new_queue(
    connection: Connection, queue: Queue
) -> None:
    start = threading.Barrier(8)

    def send(name: int) -> None:
        start.wait(LIMIT_S)
        put(queue, name)

    threads = [threading.Thread(target=send, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with Waiting(connection, queue) as waiting:
        assert sorted(waiting.until(8)) == list(range(8))
