from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.engine_process import Server
from tests.acceptance.fleet import Fleet, Fleets
from tests.acceptance.placements import Placement, every_sdk, sdks_where
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import NEWEST
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

# Columns of `/proc/net/tcp`, and its word for an established connection.
REMOTE: Final = 2
STATE: Final = 3
INODE: Final = 9
ESTABLISHED: Final = "01"

# The engine looks for changes of the function list every 5 s.
FUNCTIONS_AVAILABLE_LIMIT_S: Final = 20


def workers_listed(driver: RawWorker) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = driver.call("engine::workers::list", {})["workers"]
    return listed


def connections_of(worker: WorkerProcess, port: int) -> int:
    """Return how many connections a worker has to a port of this machine."""
    sockets = set()
    for descriptor in Path(f"/proc/{worker.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets.add(os.readlink(descriptor))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{worker.pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return sum(
        row[STATE] == ESTABLISHED
        and row[REMOTE].endswith(f":{port:04X}")
        and f"socket:[{row[INODE]}]" in sockets
        for row in rows
    )


@every_sdk
def test_sdk_lists_the_functions_of_every_worker(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    partners = [fleet[sdk] for sdk in NEWEST]

    listed = driver.call(worker.named("list_functions"))

    assert {partner.named("echo") for partner in (worker, *partners)} <= set(listed)
    assert len(listed) == len(set(listed))
    # Of the engine's own functions those of queues are there for everybody.
    own = [function for function in listed if function.startswith("engine::")]
    assert own == [function for function in own if function.startswith("engine::queue::")]


@every_sdk
def test_sdk_lists_workers_with_name_runtime_and_version(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    partners = [fleet[sdk] for sdk in NEWEST]

    listed = driver.call(worker.named("list_workers"))

    for expected in (worker, *partners):
        assert {
            "name": expected.service,
            "runtime": expected.sdk.language,
            "version": expected.sdk.version,
        } in listed


@sdks_where(lambda sdk: sdk.has_list_triggers)
def test_sdk_lists_triggers_in_the_spelling_of_their_owners(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    function_id = f"listed::{uuid.uuid4()}"
    driver.bind("api", function_id, {"api_path": function_id})

    listed = driver.call(worker.named("list_triggers"))

    assert {"trigger_type": "api", "function_id": function_id} in listed
    assert {"trigger_type": "http", "function_id": worker.named("get_item")} in listed


@every_sdk
def test_each_worker_is_listed_once(worker: WorkerProcess, driver: RawWorker) -> None:
    names = [listed["name"] for listed in workers_listed(driver)]

    assert names.count(worker.service) == 1


@sdks_where(lambda sdk: sdk.opens_second_worker_connection)
def test_telemetry_connection_is_not_listed_as_a_worker(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    port = fleet.engine.worker_port
    wait_until(lambda: connections_of(worker, port) == 2, "both connections are there")

    assert [listed for listed in workers_listed(driver) if not listed["name"]] == []


@pytest.fixture(scope="module")
def newcomers(fleets: Fleets) -> Iterator[dict[Server, str]]:
    """A function per server that appears after the workers, registered when first asked for."""
    with contextlib.ExitStack() as connections:

        class Newcomers(dict[Server, str]):
            def __missing__(self, server: Server) -> str:
                function_id = f"newcomer::{uuid.uuid4()}"
                driver = connections.enter_context(fleets[server].connect())
                driver.serve(function_id, lambda data: data)
                self[server] = function_id
                return function_id

        yield Newcomers()


@sdks_where(lambda sdk: sdk.has_functions_available)
def test_worker_hears_of_functions_that_appear_later(
    worker: WorkerProcess,
    driver: RawWorker,
    placement: Placement,
    newcomers: dict[Server, str],
) -> None:
    newcomer = newcomers[placement.server]

    wait_until(
        lambda: newcomer in driver.call(worker.named("available")),
        "functions-available tells of it",
        FUNCTIONS_AVAILABLE_LIMIT_S,
    )
