"""Celery as processes of its own, on a Redis: each part may be killed and come back."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from celery import Celery
from django.conf import settings

from engine.background import outside
from engine.background.broker import QUEUE, transport_options
from engine.background.publisher import Publisher
from tests.acceptance.processes import Process
from tests.integration.engine.background.conftest import LIMIT_S, Site
from tests.services import RedisServer, redis_server

ROOT: Final = Path(__file__).parents[4]
START_LIMIT_S: Final = 30.0

MIGRATE: Final = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""

ADD_NODE: Final = """
import uuid
import django
django.setup()
from django.db.models.functions import Now
from engine.models import EngineNode
EngineNode.objects.create(
    id=uuid.uuid4(), hostname="test", pid=1, version="1", url="{url}",
    started_at=Now(), seen_at=Now(),
)
"""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of this test's own."""
    with redis_server() as server:
        yield server


class CeleryProcess(Process):
    """`celery -A iiiproject worker`, as people start it."""

    def __init__(self, folder: Path, redis: RedisServer, url: str, *options: str) -> None:
        command = [sys.executable, "-m", "celery", "-A", "iiiproject", "worker", "-l", "info"]
        environment = {
            "REDIS_URL": redis.url,
            "III_URL": url,
            "III_DATA_DIR": str(folder),
            "SECRET_KEY": settings.SECRET_KEY,
            "DJANGO_SETTINGS_MODULE": "iiiproject.settings",
            "DATABASE_URL": "",
            "C_FORCE_ROOT": "1",
        }
        super().__init__("celery-worker", [*command, *options], folder, environment)

    def launch(self) -> None:
        """Start it in the checkout."""
        self.start(ROOT)

    def run_script(self, script: str) -> None:
        """Run a script as another process of the same settings."""
        command = [sys.executable, "-c", script]
        subprocess.run(command, cwd=ROOT, env=self._environment, check=True, timeout=60)


@pytest.fixture
def worker(site: Site, redis: RedisServer, tmp_path: Path) -> Iterator[CeleryProcess]:
    """A Celery worker on that Redis, for the engine of the site."""
    process = CeleryProcess(tmp_path, redis, site.url)
    process.launch()
    yield process
    process.kill()


def start_publisher(redis: RedisServer, engine_url: str | None = None) -> Publisher:
    """Start what an engine sends with."""

    def load_app() -> Celery:
        app = Celery("test", broker=redis.url, set_as_current=False, fixups=[])
        app.conf.update(
            broker_transport_options=transport_options(redis.url), task_default_queue=QUEUE
        )
        return app

    publisher = Publisher(load_app, engine_url)
    publisher.start()
    return publisher


@pytest_asyncio.fixture
async def publisher(redis: RedisServer) -> AsyncIterator[Publisher]:
    """What an engine sends with."""
    publisher = start_publisher(redis)
    yield publisher
    publisher.stop(LIMIT_S)


async def until_linked(site: Site) -> None:
    """Wait until the Celery worker has reached the engine."""
    await site.until(lambda: site.engine.workers.connections, "the link is up")


async def until_drained(site: Site, publisher: Publisher, number: int) -> None:
    """Send a drain again and again, as the sweep of an engine does, until it arrives."""
    sent = 0

    def has_come() -> bool:
        nonlocal sent
        if sent % 100 == 0:  # of looks that are 2 ms apart
            publisher.send_drain([number])
        sent += 1
        return [number] in site.drained

    await site.until(has_come, f"drain {number} arrives")


async def test_a_drain_arrives_at_the_engine(
    site: Site, publisher: Publisher, worker: CeleryProcess
) -> None:
    publisher.send_drain([1, 2])

    await site.until(lambda: site.drained, "the engine was called")
    assert site.drained == [[1, 2]]
    assert "reached the engine" in worker.output


async def test_a_drain_arrives_after_the_celery_worker_was_killed(
    site: Site, publisher: Publisher, worker: CeleryProcess
) -> None:
    await until_drained(site, publisher, 1)

    worker.kill()
    publisher.send_drain([2])
    worker.launch()

    await site.until(lambda: [2] in site.drained, "what was sent meanwhile waited in Redis")


async def test_a_celery_worker_that_is_asked_to_stop_finishes_what_runs(
    site: Site, publisher: Publisher, worker: CeleryProcess
) -> None:
    await until_linked(site)
    site.answer = asyncio.get_running_loop().create_future()
    publisher.send_drain([2])
    await site.until(lambda: [2] in site.drained, "it runs")

    worker.ask_to_stop()
    await site.until(lambda: "Warm shutdown" in worker.output, "Celery has heard it")
    assert worker.is_running
    site.answer.set_result(None)

    await site.until(lambda: not worker.is_running, "it ends")
    assert worker.terminate() == 0


async def test_a_drain_arrives_after_redis_was_killed(
    site: Site,
    publisher: Publisher,
    worker: CeleryProcess,
    redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await until_linked(site)
    # Two in flight: one is over before Celery is back, one acknowledges on what is gone by then.
    answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
    for site.answer in answers:
        count = len(site.drained)
        publisher.send_drain([2])
        await site.until(lambda: len(site.drained) > count, "it runs")  # noqa: B023
    site.answer = None

    redis.kill()
    await site.until(lambda: "Connection to broker lost" in worker.output, "Celery notices")
    answers[0].set_result(None)
    publisher.send_drain([3])
    await site.until(lambda: publisher.outage, "the publisher knows that the broker is away")
    redis.start()

    await until_drained(site, publisher, 9)
    answers[1].set_result(None)
    await until_drained(site, publisher, 10)
    assert publisher.outage is None
    said = [each.levelno for each in caplog.records if each.name == "engine.background.publisher"]
    assert said == [logging.ERROR]


async def test_a_drain_arrives_after_the_engine_was_away(
    site: Site, publisher: Publisher, worker: CeleryProcess
) -> None:
    await until_drained(site, publisher, 1)
    port = int(site.url.rpartition(":")[2])

    await site.close()
    publisher.send_drain([2])  # fails: there is nobody
    await site.open(port)

    await until_drained(site, publisher, 3)


async def test_children_of_a_prefork_pool_have_links_of_their_own(
    site: Site, publisher: Publisher, redis: RedisServer, tmp_path: Path
) -> None:
    worker = CeleryProcess(tmp_path, redis, site.url, "-P", "processes", "-c", "2")
    worker.launch()
    try:
        await until_drained(site, publisher, 1)
        await site.until(lambda: len(site.engine.workers.connections) == 2, "two children")
    finally:
        worker.kill()


async def test_a_drain_goes_to_the_engine_that_sent_it_if_the_database_knows_it(
    site: Site, redis: RedisServer, tmp_path: Path
) -> None:
    """With several engines on one broker each delivers its own subscriptions."""
    worker = CeleryProcess(tmp_path, redis, "ws://127.0.0.1:1")
    worker.run_script(MIGRATE)
    worker.launch()
    publisher = start_publisher(redis, site.url)
    try:
        publisher.send_drain([1])
        refusal = f"no engine in the database of this process has the III_URL {site.url}"
        await site.until(lambda: refusal in worker.output, "the log says why it is refused")
        assert site.engine.workers.connections == []

        worker.run_script(ADD_NODE.format(url=site.url))
        await until_drained(site, publisher, 2)
    finally:
        worker.kill()
        publisher.stop(LIMIT_S)
    assert [1] not in site.drained


async def test_another_process_of_django_lets_the_engine_look_into_the_outbox(
    site: Site, redis: RedisServer, worker: CeleryProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_linked(site)
    monkeypatch.setenv("REDIS_URL", redis.url)
    outside._forget()
    try:
        outside.send_take_outbox()
        await site.until(lambda: site.looks == 1, "the engine looks")
    finally:
        outside._get_publisher().stop(LIMIT_S)
        outside._forget()


def test_without_a_broker_no_other_process_sends_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    outside._forget()

    outside.send_take_outbox()

    assert outside._publisher is None


async def test_another_secret_key_is_refused_and_the_log_says_why(
    site: Site, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SECRET_KEY", "another")
    worker = CeleryProcess(tmp_path, redis, site.url)
    monkeypatch.undo()
    worker.launch()
    try:
        await site.until(lambda: "has another SECRET_KEY" in worker.output, "the log says it")
    finally:
        worker.kill()
    assert site.engine.workers.connections == []


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_a_celery_process_without_a_broker_refuses_to_start(program: str, tmp_path: Path) -> None:
    environment = {**os.environ, "REDIS_URL": "", "III_DATA_DIR": str(tmp_path)}
    environment["DJANGO_SETTINGS_MODULE"] = "iiiproject.settings"
    command = [sys.executable, "-m", "celery", "-A", "iiiproject", program]

    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )

    assert done.returncode == 1
    assert f"celery {program}: no broker is set" in done.stderr
    assert "set REDIS_URL" in done.stderr
