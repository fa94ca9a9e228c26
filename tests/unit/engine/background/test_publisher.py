from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from engine.background import publisher as publishing
from engine.background import transports
from engine.background.broker import MEMORY_URL
from engine.background.publisher import MAX_PENDING, Publisher
from tests.waiting import wait_until

LIMIT_S = 10.0


@pytest.fixture
def app() -> Celery:
    """A Celery app with a queue that no other test knows."""
    transports.register()
    app = Celery("test", broker=MEMORY_URL, set_as_current=False, fixups=[])
    app.conf.task_default_queue = f"test-{uuid.uuid4()}"
    return app


@pytest.fixture
def publisher(app: Celery) -> Iterator[Publisher]:
    publisher = Publisher(lambda: app)
    yield publisher
    publisher.stop(LIMIT_S)


Tasks = list[tuple[str, list[Any]]]


def sent(app: Celery) -> Tasks:
    """Take the messages that wait in the app's queue: name and arguments of each task."""
    tasks = []
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.conf.task_default_queue)
        while queue.qsize():
            message = queue.get(block=False)
            message.ack()
            tasks.append((message.headers["task"], message.payload[0]))
        queue.close()
    return tasks


def sent_soon(app: Celery, count: int) -> Tasks:
    """Take so many messages, waiting for them."""
    tasks: Tasks = []

    def have_come() -> bool:
        tasks.extend(sent(app))
        return len(tasks) >= count

    wait_until(have_come, f"{count} tasks are sent")
    return tasks


def test_tasks_leave_in_their_order_and_what_came_before_the_start_waits(
    publisher: Publisher, app: Celery
) -> None:
    publisher.send_drain([1, 2])
    publisher.send_take_outbox()
    publisher.start()
    publisher.send_drain((3,))
    tasks = sent_soon(app, 3)

    assert tasks == [
        ("engine.tasks.drain", [[1, 2]]),
        ("engine.tasks.take_outbox", []),
        ("engine.tasks.drain", [[3]]),
    ]


def test_a_drain_names_the_engine_that_sends_it_if_it_knows_its_address(app: Celery) -> None:
    publisher = Publisher(lambda: app, "ws://engine-1:49134")
    publisher.send_drain([1])
    publisher.start()

    tasks = sent_soon(app, 1)

    publisher.stop(LIMIT_S)
    assert tasks == [("engine.tasks.drain", [[1], "ws://engine-1:49134"])]


def test_a_task_that_waits_already_is_not_sent_twice(publisher: Publisher, app: Celery) -> None:
    for _ in range(5):
        publisher.send_take_outbox()
    publisher.send_drain([1])
    publisher.start()
    tasks = sent_soon(app, 2)

    assert [name for name, _ in tasks] == ["engine.tasks.take_outbox", "engine.tasks.drain"]


def test_what_waits_is_bounded(publisher: Publisher, app: Celery) -> None:
    for number in range(MAX_PENDING + 50):
        publisher.send_drain([number])
    publisher.start()
    assert len(sent_soon(app, MAX_PENDING)) == MAX_PENDING
    publisher.stop(LIMIT_S)
    assert sent(app) == []


def test_what_waits_in_the_broker_is_bounded_and_told(
    publisher: Publisher,
    app: Celery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(publishing, "MAX_WAITING", 3)
    monkeypatch.setattr(publishing, "COUNT_INTERVAL_S", 0.0)
    monkeypatch.setattr(publishing, "PROBE_INTERVAL_S", 0.01)
    publisher.start()
    for number in range(10):
        publisher.send_drain([number])
    wait_until(lambda: publisher.outage, "it sends no more")
    assert publisher.outage == "10,000 tasks wait in the broker: is a Celery worker running?"
    wait_until(lambda: not publisher._pending, "the others are dropped")

    assert sent(app) == [("engine.tasks.drain", [[number]]) for number in range(3)]

    wait_until(lambda: publisher.outage is None, "it sends again")
    publisher.send_drain([10])
    assert sent_soon(app, 1) == [("engine.tasks.drain", [[10]])]
    assert caplog.text.count("no more tasks are sent for the time being") == 1


def test_ticks_are_asked_for_at_the_engine_that_is_named(app: Celery) -> None:
    publisher = Publisher(lambda: app, "ws://engine-1:49134")
    publisher.send_run_ticks()
    publisher.send_run_ticks("ws://engine-2:49134")
    publisher.send_run_ticks("")
    publisher.start()

    tasks = sent_soon(app, 3)

    publisher.stop(LIMIT_S)
    assert tasks == [
        ("engine.tasks.run_ticks", ["ws://engine-1:49134"]),
        ("engine.tasks.run_ticks", ["ws://engine-2:49134"]),
        ("engine.tasks.run_ticks", []),
    ]


def test_the_clock_of_this_process_is_woken(app: Celery) -> None:
    woken: list[None] = []
    publisher = Publisher(lambda: app, wake_clock=lambda: woken.append(None))

    publisher.wake_clock()

    assert woken == [None]
    Publisher(lambda: app).wake_clock()  # it is another process


def test_nothing_is_sent_once_it_refuses(publisher: Publisher, app: Celery) -> None:
    publisher.send_drain([1])
    publisher.refuse()
    publisher.start()
    publisher.send_drain([2])
    publisher.stop(LIMIT_S)

    assert sent(app) == []


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    app = Celery("test", broker="redis://127.0.0.1:1/0", set_as_current=False, fixups=[])
    publisher = Publisher(lambda: app)
    publisher.start()

    publisher.send_drain([1])
    wait_until(lambda: publisher.outage, "the first task fails")
    publisher.send_drain([2])
    publisher.send_drain([3])
    wait_until(lambda: not publisher._pending, "the others are tried")
    publisher.stop(LIMIT_S)

    said = [each for each in caplog.records if each.name == "engine.background.publisher"]
    assert [each.levelno for each in said] == [logging.ERROR]
    assert "Connection refused" in said[0].getMessage()


def test_a_celery_that_does_not_load_is_an_outage_until_it_does(
    app: Celery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publishing, "PROBE_INTERVAL_S", 0.01)
    is_broken = True

    def load() -> Celery:
        if is_broken:
            raise RuntimeError("asked for")
        return app

    publisher = Publisher(load)
    publisher.start()
    wait_until(lambda: publisher.outage, "the failure is known")
    assert publisher.outage == "RuntimeError: asked for"

    is_broken = False

    wait_until(lambda: publisher.outage is None, "it is tried without a task")
    publisher.send_drain([1])
    assert sent_soon(app, 1) == [("engine.tasks.drain", [[1]])]
    assert caplog.text.count("tasks cannot be sent to the broker") == 1
    publisher.stop(LIMIT_S)
