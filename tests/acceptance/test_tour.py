"""The tour of the README, with exactly the files it tells people to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.processes import Process
from tests.acceptance.sdks import tour_commands
from tests.waiting import wait_until


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path / "engine")
    with ExitStack() as stack:
        stack.callback(engine.kill)
        engine.start()
        yield engine


@pytest.fixture
def workers(engine: EngineProcess, tmp_path: Path) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        workers = []
        for language, (command, folder) in tour_commands().items():
            environment = {"III_URL": engine.worker_url, "HOME": str(tmp_path)}
            worker = Process(f"tour-{language}", command, tmp_path, environment)
            stack.callback(worker.kill)
            worker.start(folder)
            workers.append(worker)
        yield workers


def answers(engine: EngineProcess, http: httpx.Client) -> bool:
    """Say whether both routes answer as the README shows."""
    hello = http.get(f"{engine.http_url}/hello/Ada")
    shout = http.post(f"{engine.http_url}/shout", json={"name": "Ada"})
    if (hello.status_code, shout.status_code) != (200, 200):
        return False
    assert hello.json() == {"message": "Hello, Ada!", "about": {"letters": 8, "words": 2}}
    assert shout.json() == {"message": "HELLO, ADA!"}
    return True


@pytest.mark.usefixtures("workers")
def test_tour_workers_call_each_other_and_serve_http(
    engine: EngineProcess, http: httpx.Client
) -> None:
    wait_until(lambda: answers(engine, http), "both workers of the tour serve", 30)


@pytest.mark.usefixtures("workers")
def test_tour_workers_come_back_after_the_engine_ran_again(
    engine: EngineProcess, http: httpx.Client
) -> None:
    wait_until(lambda: answers(engine, http), "both workers of the tour serve", 30)

    assert engine.terminate() == 0
    engine.start()

    wait_until(lambda: answers(engine, http), "both workers of the tour serve again", 45)


def test_tour_workers_stop_on_sigterm(
    engine: EngineProcess, workers: list[Process], http: httpx.Client
) -> None:
    wait_until(lambda: answers(engine, http), "both workers of the tour serve", 30)

    for worker in workers:
        worker.terminate()

    wait_until(
        lambda: http.get(f"{engine.http_url}/hello/Ada").status_code == 404, "the routes are gone"
    )
