"""Engines with a worker of each of several SDK versions connected to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.acceptance.engine_process import EngineProcess, Server
from tests.acceptance.placements import SDKS_OF_SERVER
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import InstallationFailed, Sdk
from tests.acceptance.worker_process import WorkerProcess


class Fleet:
    """One engine and workers that start together; each is waited for when it is first used.

    A version that cannot be installed or started fails the tests that use it, not the others.
    `touched` holds the processes that were used since it was last cleared.
    """

    def __init__(self, engine: EngineProcess, folder: Path) -> None:
        self.engine = engine
        self.touched: list[Process] = [engine]
        self._folder = folder
        self._numbers = count(1)
        self._workers: dict[Sdk, WorkerProcess] = {}
        self._failures: dict[Sdk, Exception] = {}

    def start(self, sdks: Iterable[Sdk]) -> None:
        """Start the engine and then a worker of each version, without waiting for these."""
        self.engine.start()
        for sdk in sdks:
            try:
                worker = self._new_worker(sdk)
            except InstallationFailed as error:
                self._failures[sdk] = error
            else:
                self._workers[sdk] = worker
                worker.start()

    def stop(self) -> None:
        """Kill the workers and the engine."""
        for worker in self._workers.values():
            worker.kill()
        self.engine.kill()

    def __getitem__(self, sdk: Sdk) -> WorkerProcess:
        """Return the worker of a version, ready for calls.

        Raises:
            InstallationFailed: the version could not be installed.
            AssertionError: the worker did not get ready.
        """
        if sdk in self._failures:
            raise self._failures[sdk]
        worker = self._workers[sdk]
        self.touched.append(worker)
        try:
            worker.wait_until_ready()
        except AssertionError as error:
            self._failures[sdk] = error
            raise
        return worker

    def has(self, sdk: Sdk) -> bool:
        """Say whether the worker of a version could be started at all."""
        return sdk in self._workers

    @contextmanager
    def extra_worker(
        self, sdk: Sdk, *, url: str | None = None, service: str | None = None
    ) -> Iterator[WorkerProcess]:
        """Run one more worker of a version for a while.

        Args:
            sdk: Its version.
            url: Where it connects to, instead of the engine's address.
            service: The service it offers, instead of one of its own.
        """
        worker = self._new_worker(sdk, url, service)
        self.touched.append(worker)
        worker.start()
        try:
            worker.wait_until_ready()
            yield worker
        finally:
            worker.kill()

    def connect(self) -> RawWorker:
        """Connect a worker without an SDK to the engine."""
        return RawWorker(self.engine.worker_url)

    def _new_worker(
        self, sdk: Sdk, url: str | None = None, service: str | None = None
    ) -> WorkerProcess:
        version = "-".join(map(str, sdk.release))
        name = f"{sdk.language}-{version}-no{next(self._numbers)}"
        return WorkerProcess(
            sdk, name, service or name, url or self.engine.worker_url, self._folder
        )


class Fleets:
    """The fleets of one purpose, one for each server, started when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fleets: dict[Server, Fleet] = {}

    def __getitem__(self, server: Server) -> Fleet:
        if server not in self._fleets:
            folder = self._folder / server
            fleet = self._fleets[server] = Fleet(EngineProcess(folder, server), folder)
            fleet.start(SDKS_OF_SERVER[server])
        return self._fleets[server]

    def stop(self) -> None:
        """Stop every fleet."""
        for fleet in self._fleets.values():
            fleet.stop()
