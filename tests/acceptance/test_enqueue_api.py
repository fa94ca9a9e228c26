"""A Django project with its own process enqueues in its own transactions, beside an engine."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

import pytest

from tests.acceptance.deployment import Deployment, embedded, with_services
from tests.acceptance.processes import Process
from tests.acceptance.queue_topic import Topic
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until, wait_until_still

PROJECT: Final = Path(__file__).parents[2]

# How late a message comes to an idle engine, which looks at SQLite's file once a second.
SOON_ON_SQLITE_S: Final = 1.1
SOON_ON_POSTGRES_S: Final = 0.5


class Shop:
    """A process of the project in `tests.acceptance.shop`, which lives until the block ends."""

    def __init__(self, environment: dict[str, str], data_dir: Path, topic: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.shop", str(data_dir), topic],
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._read() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def do(self, what: str, number: int) -> None:
        """Have a transaction done, see `tests.acceptance.shop.__main__`."""
        self._write(f"{what} {number}")
        assert self._read() == f"{what} {number}"

    def do_and_die(self, what: str, number: int) -> None:
        """Have the last transaction done."""
        self._write(f"{what} {number}")
        assert self._process.wait(10) == 1

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Site:
    """A topic of a deployment, and a worker that notes the orders of which it is told."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self.orders: list[int] = []
        self._topic = f"orders-{uuid.uuid4()}"
        self._folder = folder

    @property
    def touched(self) -> Sequence[Process]:
        """Those whose output helps when a test fails."""
        return self.deployment.touched

    @contextmanager
    def subscribed(self, **queue_config: Any) -> Iterator[Topic]:
        """Subscribe a worker's function; give its topic, about which the worker asks."""
        with RawWorker(self.deployment.engine.worker_url) as worker:
            worker.serve("shop::note", lambda data: self.orders.append(data["number"]))
            topic = Topic(worker, self._topic)
            config = {"topic": topic.name, "queue_config": queue_config}
            worker.bind("queue", "shop::note", config)
            wait_until(lambda: topic.consumers == 1, "the function has subscribed")
            yield topic

    def shop(self) -> Shop:
        """Start a process of the project, which enqueues to the topic."""
        postgres, redis = self.deployment.postgres, self.deployment.redis
        services = {
            "DATABASE_URL": "" if postgres is None else postgres.url,
            "REDIS_URL": "" if redis is None else redis.url,
        }
        return Shop(services, self._folder / "engine" / "data", self._topic)


def finished(topic: Topic) -> int:
    """Return how many messages have succeeded, once nothing moves any more."""
    topic.wait_until_finished(30)
    return wait_until_still(lambda: int(topic.stats()["delivered"]), "the topic")


@pytest.fixture(
    scope="module", params=[embedded, with_services], ids=lambda deploy: deploy.__name__
)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Deployment, Path]]:
    """A deployment for all tests here, and its folder."""
    folder = tmp_path_factory.mktemp("site")
    with request.param(folder) as deployment:
        yield deployment, folder


@pytest.fixture
def site(running: tuple[Deployment, Path]) -> Site:
    return Site(*running)


def test_what_commits_arrives_exactly_once_and_nothing_else_does(site: Site) -> None:
    chance = random.Random(6)
    whats = [chance.choice(("commit", "rollback", "savepoint")) for _ in range(200)]
    with site.subscribed() as topic, site.shop() as shop, site.shop() as other:
        for number, what in enumerate(whats, start=1):
            chance.choice((shop, other)).do(what, number)
        committed = [number for number, what in enumerate(whats, start=1) if what != "rollback"]
        wait_until(lambda: len(site.orders) >= len(committed), "the orders are told of")
        assert finished(topic) == len(committed)
        assert Counter(site.orders) == Counter(committed)


def test_messages_of_one_process_are_put_in_in_the_order_of_their_commits(site: Site) -> None:
    with site.subscribed(type="fifo"), site.shop() as shop:
        for number in range(50):
            shop.do("commit", number)
        wait_until(lambda: len(site.orders) == 50, "the orders are told of")
        assert site.orders == list(range(50))


def test_an_idle_engine_is_told_soon(site: Site) -> None:
    with site.subscribed() as topic, site.shop() as shop:
        shop.do("commit", 0)  # the first one brings Celery up in the project's process
        wait_until(lambda: 0 in site.orders, "the first order is told of")
        assert finished(topic) == 1
        waits = []
        soon_s = SOON_ON_SQLITE_S if site.deployment.postgres is None else SOON_ON_POSTGRES_S
        for number in range(1, 6):
            shop.do("commit", number)
            committed_at = time.monotonic()
            wait_until(partial(site.orders.__contains__, number), "the order is told of")
            waits.append(time.monotonic() - committed_at)
        assert median(waits) < soon_s, waits


@pytest.mark.parametrize(("what", "told"), [("die", [1]), ("vanish", [])])
def test_a_process_that_dies_at_its_commit_has_sent_its_message_or_not(
    what: str, told: list[int], site: Site
) -> None:
    with site.subscribed() as topic:
        with site.shop() as shop:
            shop.do_and_die(what, 1)
        with site.shop() as shop:
            shop.do("commit", 2)
        wait_until(lambda: 2 in site.orders, "the next order is told of")
        assert finished(topic) == len(told) + 1
        assert sorted(site.orders) == [*told, 2]


def test_what_is_committed_while_the_engine_is_killed_arrives(site: Site) -> None:
    engine = site.deployment.engine
    with site.shop() as shop:
        with site.subscribed():
            for number in range(100):
                shop.do("commit", number)
                if number == 50:
                    engine.kill()
        engine.start()
        with site.subscribed() as topic:
            wait_until(lambda: set(site.orders) == set(range(100)), "all orders are told of", 30)
            # A handler may have been told twice; the messages were there once.
            assert finished(topic) == 100
