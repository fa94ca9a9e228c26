"""Two engines on one PostgreSQL, workers of two languages on each: one counter stays exact."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.fleet import Fleet
from tests.acceptance.sdks import NEWEST, Sdk
from tests.acceptance.test_state_crash import migrated_postgres

CLIENTS: Final = 64
INCREMENTS: Final = 1_000
ENGINES: Final = 2
SDKS: Final[tuple[Sdk, ...]] = NEWEST[:2]

INCREMENT: Final = {
    "scope": "shared",
    "key": "counter",
    "ops": [{"type": "increment", "path": "n", "by": 1}],
}


@pytest.fixture
def fleets(tmp_path: Path) -> Iterator[list[Fleet]]:
    """Engines on one PostgreSQL."""
    with ExitStack() as stack:
        url = stack.enter_context(migrated_postgres(tmp_path)).url
        found = []
        for number in range(ENGINES):
            folder = tmp_path / f"engine{number}"
            engine = EngineProcess(folder, environment={"DATABASE_URL": url})
            fleet = Fleet(engine, folder)
            fleet.start([])
            stack.callback(fleet.stop)
            found.append(fleet)
        yield found


def test_increments_of_many_clients_on_two_engines_add_up(fleets: list[Fleet]) -> None:
    clients = CLIENTS // (ENGINES * len(SDKS))  # of each worker
    with ExitStack() as stack:
        workers = [
            (stack.enter_context(fleet.connect()), stack.enter_context(fleet.extra_worker(sdk)))
            for fleet in fleets
            for sdk in SDKS
        ]
        call = {"function_id": "state::update", "items": [INCREMENT] * clients}
        with ThreadPoolExecutor(len(workers)) as threads:

            def increment(number: int) -> None:
                driver, worker = workers[number]
                for _ in range(INCREMENTS):
                    driver.call(worker.named("call_parallel"), call, limit_s=60)

            list(threads.map(increment, range(len(workers))))

        for driver, _ in workers:
            found = driver.call("state::get", {"scope": "shared", "key": "counter"})
            assert found == {"n": CLIENTS * INCREMENTS}
