"""Celery as processes of its own beside an engine: periodic tasks, a broker that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.acceptance.deployment import CeleryProcess
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import RawWorker
from tests.services import RedisServer, redis_server
from tests.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]

# Nobody knows this task: a Celery worker that gets it says so.
TASK: Final = "shop.tasks.ship"
SAID: Final = f"Received unregistered task of type '{TASK}'"

ADD_CALL: Final = """
import django
django.setup()
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
PeriodicTask.objects.create(
    name="close", task="engine.tasks.invoke", interval=every,
    kwargs='{"function_id": "shop::close", "data": {"till": 3}}',
)
"""

ADD_PERIODIC_TASK: Final = f"""
import django
django.setup()
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
PeriodicTask.objects.create(name="ship", task="{TASK}", interval=every)
"""

# Beat gets a signal while it fetches rows for the time of this number.
END_IN_FETCH: Final = """
import os, signal
import django
django.setup()
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from iiiproject.celery import app

fetch = SQLiteCursorWrapper.fetchmany
left = {number}

def fetch_and_signal(*rest):
    global left
    rows = fetch(*rest)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.{name})
    return rows

SQLiteCursorWrapper.fetchmany = fetch_and_signal
app.Beat(app=app, quiet=True).start_scheduler()
"""


@dataclass(frozen=True, slots=True)
class Site:
    """An engine on SQLite, and Celery's processes on a Redis, of one data directory."""

    engine: EngineProcess
    redis: RedisServer
    worker: CeleryProcess
    beat: CeleryProcess
    environment: dict[str, str]

    @property
    def touched(self) -> list[Process]:
        """Its processes whose output helps when a test fails."""
        return [self.engine, self.worker, self.beat]

    def health(self, http: httpx.Client) -> tuple[str, Any]:
        """Return what `/health` tells of the engine, and of Celery."""
        answer = http.get(f"{self.engine.http_url}/health").json()
        return str(answer["status"]), answer["components"]["Celery"]

    def run_beat(self) -> None:
        """Start beat, unless it runs."""
        if not self.beat.is_running:
            self.beat.start()

    def run(self, script: str) -> None:
        """Run a script as a process of the deployment."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT)}
        environment["DJANGO_SETTINGS_MODULE"] = "iiiproject.settings"
        subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests here; beat is not started."""
    tmp_path = tmp_path_factory.mktemp("celery")
    with redis_server() as redis:
        engine = EngineProcess(tmp_path / "engine", environment={"REDIS_URL": redis.url})
        environment = {
            "REDIS_URL": redis.url,
            "DATABASE_URL": "",
            "III_URL": engine.worker_url,
            "III_DATA_DIR": str(tmp_path / "engine" / "data"),
        }
        site = Site(
            engine,
            redis,
            CeleryProcess("worker", tmp_path / "worker", environment),
            CeleryProcess("beat", tmp_path / "beat", environment),
            environment,
        )
        engine.start()
        site.worker.start()
        yield site
        for process in site.touched:
            process.kill()


def test_beat_sends_the_periodic_tasks_of_the_database_again_after_it_was_killed(
    site: Site,
) -> None:
    site.run_beat()
    site.run(ADD_PERIODIC_TASK)
    wait_until(lambda: site.worker.output.count(SAID) >= 2, "the worker gets the task", 30)

    site.beat.kill()
    before = site.worker.output.count(SAID)
    site.beat.start()

    wait_until(lambda: site.worker.output.count(SAID) >= before + 2, "it gets it again", 30)


def test_a_periodic_task_calls_a_function_of_a_worker(site: Site) -> None:
    site.run_beat()
    handled: list[Any] = []
    with RawWorker(site.engine.worker_url) as worker:
        worker.serve("shop::close", handled.append)
        site.run(ADD_CALL)

        wait_until(lambda: len(handled) >= 2, "the worker is called", 30)
    assert handled[0] == {"till": 3}


def test_a_schedule_of_a_worker_runs(site: Site) -> None:
    """On SQLite, where beat asks the engine what is due."""
    site.run_beat()
    handled: list[Any] = []
    with RawWorker(site.engine.worker_url) as worker:
        worker.serve("shop::tick", handled.append)
        worker.bind("cron", "shop::tick", {"expression": "* * * * * * *"})

        wait_until(lambda: len(handled) >= 3, "the worker is called", 30)
    times = [each["scheduled_time"] for each in handled]
    assert times == sorted(set(times))


def test_beat_ends_when_it_is_asked_to(site: Site) -> None:
    site.run_beat()

    assert site.beat.terminate(limit_s=5) == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("number", [1, 3, 6])
def test_beat_ends_when_it_is_asked_to_within_a_statement(
    site: Site, number: int, name: str
) -> None:
    site.run(END_IN_FETCH.format(number=number, name=name))


def test_an_engine_takes_messages_while_redis_is_away_and_delivers_them_afterwards(
    site: Site, http: httpx.Client
) -> None:
    healthy = {"status": "healthy", "details": {"embedded": False}}
    handled: list[int] = []
    with RawWorker(site.engine.worker_url) as worker:
        worker.serve("shop::ship", handled.append)
        worker.bind("queue", "shop::ship", {"topic": "orders"})
        worker.call("enqueue", {"topic": "orders", "data": 1})
        wait_until(lambda: handled == [1], "the first message is delivered")
        assert site.health(http) == ("healthy", healthy)

        site.redis.kill()
        sent = [1]

        def is_missed() -> bool:
            # A drain that runs delivers what comes meanwhile without a task.
            sent.append(len(sent) + 1)
            worker.call("enqueue", {"topic": "orders", "data": sent[-1]})
            return site.health(http)[0] == "degraded"

        wait_until(is_missed, "a task cannot be sent, and health tells of it", 30)
        site.redis.start()

        wait_until(lambda: sorted(handled) == sent, "all are delivered", 60)
        # A drain that still runs may have delivered them before the engine looks for Redis again.
        wait_until(lambda: site.health(http) == ("healthy", healthy), "health tells of it", 20)
    assert site.engine.output.count("tasks cannot be sent to ") == 1


def test_the_start_says_that_celery_has_to_run_and_how(site: Site) -> None:
    commands = "celery -A iiiproject worker, celery -A iiiproject beat"
    assert f"by processes of Celery on {site.redis.url.rpartition('/')[0]}: {commands}" in (
        site.engine.output
    )


def test_the_process_of_celery_is_listed_when_asked_for(site: Site) -> None:
    def celery_processes() -> list[dict[str, Any]]:
        listed = worker.call("engine::workers::list", {"include_internal": True})["workers"]
        return [each for each in listed if each["pid"] == site.worker.pid]

    with RawWorker(site.engine.worker_url) as worker:
        [process] = wait_until(celery_processes, "it is listed")
        shown = worker.call("engine::workers::list")["workers"]

    assert process["internal"] is True
    assert process["runtime"] == "celery"
    assert [each["runtime"] for each in shown] == ["raw"]
