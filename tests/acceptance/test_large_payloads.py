from __future__ import annotations

import uuid
from typing import Final

import pytest

from tests.acceptance.placements import SDKS_OF_SERVER, Placement
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import Sdk
from tests.acceptance.worker_process import WorkerProcess

# What each SDK takes in one message: Python below 0.24.5 at most 1 MiB.
SIZES: Final = {
    Sdk("python", "0.11.6"): 900_000,
    Sdk("python", "0.25.0"): 20_000_000,
    Sdk("node", "0.2.1"): 2_000_000,
    Sdk("node", "0.22.1"): 2_000_000,
    Sdk("rust", "0.25.0"): 2_000_000,
}
CALL_LIMIT_S: Final = 60

of_each_size = pytest.mark.parametrize(
    ("placement", "size"),
    [
        pytest.param(placement, size, id=f"{size}-bytes-{placement}")
        for server, sdks in SDKS_OF_SERVER.items()
        for sdk, size in SIZES.items()
        if sdk in sdks
        for placement in [Placement(server, sdk)]
    ],
)


@of_each_size
def test_worker_gets_a_large_result(worker: WorkerProcess, driver: RawWorker, size: int) -> None:
    function_id = f"large::{uuid.uuid4()}"
    driver.serve(function_id, lambda data: "x" * data)

    measured = driver.call(
        worker.named("measure"), {"function_id": function_id, "data": size}, CALL_LIMIT_S
    )

    assert measured == size


@of_each_size
def test_worker_gives_a_large_result(worker: WorkerProcess, driver: RawWorker, size: int) -> None:
    made = driver.call(worker.named("make"), {"size": size}, CALL_LIMIT_S)

    assert len(made) == size
