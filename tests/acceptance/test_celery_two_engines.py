"""Two engines on one PostgreSQL and one Redis: each delivers what its own workers subscribe to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.deployment import SECRET_KEY, CeleryProcess
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.test_state_crash import migrated_postgres
from tests.services import redis_server
from tests.waiting import wait_until


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[tuple[EngineProcess, EngineProcess]]:
    """Two engines that say where they are, and one Celery worker that knows neither."""
    with ExitStack() as stack:
        postgres = stack.enter_context(migrated_postgres(tmp_path))
        redis = stack.enter_context(redis_server())
        services = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": SECRET_KEY,
        }
        started = []
        for name in ("one", "other"):
            engine = EngineProcess(tmp_path / name, environment=services)
            engine.start()
            stack.callback(engine.kill)
            started.append(engine)
        celery = CeleryProcess(
            "worker", tmp_path / "worker", services | {"III_URL": "ws://[::1]:1"}
        )
        celery.start()
        stack.callback(celery.kill)
        yield started[0], started[1]


def test_messages_of_one_engine_reach_the_workers_of_the_other(
    engines: tuple[EngineProcess, EngineProcess],
) -> None:
    one, other = engines
    here: list[int] = []
    there: list[int] = []
    with RawWorker(one.worker_url) as local, RawWorker(other.worker_url) as remote:
        local.serve("shop::here", here.append)
        local.bind("queue", "shop::here", {"topic": "orders"})
        remote.serve("shop::there", there.append)
        remote.bind("queue", "shop::there", {"topic": "orders"})
        for worker in (local, remote):  # what follows on a connection comes after its triggers
            worker.call("engine::functions::list")

        for number in range(10):
            local.call("enqueue", {"topic": "orders", "data": number})

        wait_until(lambda: sorted(here) == sorted(there) == list(range(10)), "both get all", 30)
