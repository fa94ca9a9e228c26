"""A subscriber's worker is away, as in a rolling deploy: it gets what was put in meanwhile."""

from __future__ import annotations

import os
import time
import uuid
from functools import partial
from typing import Final

import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import Placement
from tests.acceptance.queue_topic import Topic
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import NEWEST, Sdk
from tests.acceptance.test_queues import message, notes_of
from tests.waiting import wait_until

# By hand a minute: III_DEPLOY_S=60.
AWAY_S: Final = float(os.environ.get("III_DEPLOY_S", "2"))
# What another function of the topic may have to wait for a message meanwhile.
LATE_S: Final = 1.0

SDKS: Final = (*NEWEST, Sdk("node", "0.3.0"), Sdk("python", "0.4.1"))


@pytest.mark.parametrize("placement", [Placement("picows", sdk) for sdk in SDKS], ids=str)
def test_a_worker_that_was_away_gets_every_message(
    placement: Placement, fleet: Fleet, driver: RawWorker
) -> None:
    topic, service = Topic(driver), f"deployed-{uuid.uuid4()}"
    came: dict[int, float] = {}
    other = f"driver::{uuid.uuid4()}"
    driver.serve(other, lambda data: came.setdefault(data["number"], time.monotonic()))
    trigger = driver.bind("queue", other, {"topic": topic.name})
    wait_until(lambda: topic.consumers == 1, "the other function has subscribed")
    with fleet.extra_worker(placement.sdk, service=service) as worker:
        topic.subscribe(worker)
        topic.put(message(topic, 0))
        topic.wait_until_finished()
        assert worker.terminate() == 0
    wait_until(lambda: topic.consumers == 1, "the worker is away")

    count, end = 1, time.monotonic() + AWAY_S
    while time.monotonic() < end:
        put_at = time.monotonic()
        topic.put(message(topic, count))
        wait_until(partial(came.__contains__, count), "the other function has it")
        assert came[count] - put_at < LATE_S
        count += 1

    with fleet.extra_worker(placement.sdk, service=service) as worker:
        topic.subscribe(worker)
        topic.wait_until_finished(30)
        assert sorted(notes_of(driver, worker, topic)) == list(range(1, count))
        assert topic.dead() == []
    driver.unbind(trigger)
