from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx
import pytest

from tests.acceptance.engine_process import Server
from tests.acceptance.fleet import Fleet, Fleets
from tests.acceptance.placements import SDKS_OF_SERVER, Placement, every_sdk, every_server
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.acceptance.sdks import Sdk
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

# SDKs try again after 1, 2, 4 … s, most of them with 30 % jitter.
COMEBACK_LIMIT_S: Final = 45


@dataclass
class Comeback:
    """What became of the workers after one restart of their engine."""

    exit_code: int | None = None
    missing: dict[Sdk, str] = field(default_factory=dict)
    functions: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)

    def why_missing(self, sdk: Sdk) -> str:
        """Return why a worker did not come back; empty if it did."""
        return self.missing.get(sdk, "the engine itself did not come back")


class Restarts:
    """A fleet of its own per server, whose engine is killed once and then stopped once."""

    def __init__(self, fleets: Fleets, http: httpx.Client) -> None:
        self._fleets = fleets
        self._http = http
        self._comebacks: dict[Server, tuple[Comeback, Comeback]] = {}

    @property
    def touched(self) -> list[Process]:
        """The engines, whose output is shown when a test fails."""
        return [self._fleets[server].engine for server in self._comebacks]

    def after_kill(self, server: Server) -> Comeback:
        """Return how the workers came back after SIGKILL."""
        return self._of(server)[0]

    def after_stop(self, server: Server) -> Comeback:
        """Return how the workers came back after SIGTERM."""
        return self._of(server)[1]

    def _of(self, server: Server) -> tuple[Comeback, Comeback]:
        if server not in self._comebacks:
            # Should a restart fail, its tests fail without trying it again.
            killed, stopped = self._comebacks[server] = (Comeback(), Comeback())
            fleet = self._fleets[server]
            workers = {sdk: fleet[sdk] for sdk in SDKS_OF_SERVER[server] if fleet.has(sdk)}
            fleet.engine.kill()
            self._bring_back(fleet, workers, killed)
            stopped.exit_code = fleet.engine.terminate()
            self._bring_back(fleet, workers, stopped)
        return self._comebacks[server]

    def _bring_back(
        self, fleet: Fleet, workers: dict[Sdk, WorkerProcess], comeback: Comeback
    ) -> None:
        fleet.engine.start()
        deadline = time.monotonic() + COMEBACK_LIMIT_S
        with fleet.connect() as driver:
            for sdk in SDKS_OF_SERVER[fleet.engine.server]:
                limit_s = max(0, deadline - time.monotonic())
                reason = self._why_missing(fleet, workers.get(sdk), driver, limit_s)
                comeback.missing[sdk] = reason
            functions = driver.call("engine::functions::list", {})["functions"]
            comeback.functions = [function["function_id"] for function in functions]
            listed = driver.call("engine::workers::list", {})["workers"]
            comeback.workers = [worker["name"] for worker in listed]

    def _why_missing(
        self, fleet: Fleet, worker: WorkerProcess | None, driver: RawWorker, limit_s: float
    ) -> str:
        """Return why a worker is not back; empty if it is."""
        if worker is None:
            return "it never started"
        is_back = partial(self._is_back, fleet, worker, driver)
        try:
            wait_until(is_back, f"{worker.name} is back", limit_s)
        except AssertionError as error:
            return f"{error}\n{worker.last_output()}"
        return ""

    def _is_back(self, fleet: Fleet, worker: WorkerProcess, driver: RawWorker) -> bool:
        try:
            driver.call(worker.named("echo"), "back")
        except CallFailed:
            return False
        response = self._http.get(f"{fleet.engine.http_url}/{worker.service}/items/1")
        return response.status_code == 200


@pytest.fixture(scope="module")
def restarts(tmp_path_factory: pytest.TempPathFactory, http: httpx.Client) -> Iterator[Restarts]:
    fleets = Fleets(tmp_path_factory.mktemp("restarts"))
    yield Restarts(fleets, http)
    fleets.stop()


@every_sdk
def test_worker_comes_back_after_the_engine_was_killed(
    restarts: Restarts, placement: Placement
) -> None:
    assert restarts.after_kill(placement.server).why_missing(placement.sdk) == ""


@every_sdk
def test_worker_comes_back_after_the_engine_was_stopped(
    restarts: Restarts, placement: Placement
) -> None:
    assert restarts.after_stop(placement.server).why_missing(placement.sdk) == ""


@every_server
def test_engine_stops_with_code_0_while_workers_are_connected(
    restarts: Restarts, server: Server
) -> None:
    assert restarts.after_stop(server).exit_code == 0


@every_server
def test_nothing_is_registered_twice_after_a_comeback(restarts: Restarts, server: Server) -> None:
    comeback = restarts.after_kill(server)

    assert len(comeback.functions) == len(set(comeback.functions))
    assert len(comeback.workers) == len(set(comeback.workers))
