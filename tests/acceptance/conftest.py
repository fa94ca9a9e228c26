"""Engines, fleets of workers, drivers and a browser for the acceptance tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.acceptance.browser import Browser, running_browser
from tests.acceptance.deployment import Deployment, embedded, with_services
from tests.acceptance.fleet import Fleet, Fleets
from tests.acceptance.placements import Placement
from tests.acceptance.processes import Process, UsesProcesses
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.worker_process import WorkerProcess
from tests.services import find_chromium

# The first test that needs an environment installs it.
TEST_LIMIT_S: Final = 1500

_HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.acceptance)
        if item.path.parent == _HERE:
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the engine and the workers of a failed test printed, and what its pages show."""
    report = yield
    if report.failed and _HERE in item.path.parents:
        for process in _processes_of(item):
            report.sections.append((f"output of {process.name}", process.last_output()))
        browser = getattr(item, "funcargs", {}).get("browser")
        if isinstance(browser, Browser):
            report.sections.append(("pages of the browser", browser.shown()))
    return report


def _processes_of(item: pytest.Item) -> list[Process]:
    processes: list[Process] = []
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, UsesProcesses):
            processes += value.touched
        elif isinstance(value, Process):
            processes.append(value)
    return list(dict.fromkeys(processes))


@pytest.fixture(scope="session")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleets]:
    """Engines that stay up for the whole session, with all their workers."""
    fleets = Fleets(tmp_path_factory.mktemp("fleets"))
    yield fleets
    fleets.stop()


@pytest.fixture
def fleet(placement: Placement, fleets: Fleets) -> Fleet:
    """The engine of a test's placement, with its workers."""
    fleet = fleets[placement.server]
    fleet.touched[:] = [fleet.engine]
    return fleet


@pytest.fixture
def worker(placement: Placement, fleet: Fleet) -> WorkerProcess:
    """The worker of a test's placement, ready for calls."""
    return fleet[placement.sdk]


@pytest.fixture
def driver(fleet: Fleet) -> Iterator[RawWorker]:
    """A worker without an SDK, connected to the engine of the test's placement."""
    with fleet.connect() as driver:
        yield driver


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """An HTTP client for the REST module, which keeps out of the machine's proxies."""
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A headless browser."""
    program = find_chromium()
    assert program is not None, "tests/install-packages installs Chromium"
    with running_browser(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def embedded_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An engine by itself, for all tests of a file."""
    with embedded(tmp_path_factory.mktemp("embedded")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def services_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An engine with services and Celery, for all tests of a file."""
    with with_services(tmp_path_factory.mktemp("services")) as deployment:
        yield deployment
