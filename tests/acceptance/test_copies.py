from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import Placement, sdks_where
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import NEWEST, OLDEST
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

some_sdks = sdks_where(lambda sdk: sdk in OLDEST or sdk in NEWEST)


def notes_of(worker: WorkerProcess, driver: RawWorker) -> list[str]:
    """Return the notes of the copy that serves now; each copy has its own."""
    notes: list[str] = driver.call(worker.named("remembered"))
    return notes


def copies_listed(worker: WorkerProcess, driver: RawWorker) -> int:
    listed = driver.call("engine::workers::list", {})["workers"]
    return [each["name"] for each in listed].count(worker.service)


@some_sdks
def test_not_one_call_fails_when_a_second_copy_starts_and_the_first_stops(
    fleet: Fleet, driver: RawWorker, http: httpx.Client, placement: Placement
) -> None:
    with (
        ThreadPoolExecutor(max_workers=1) as background,
        fleet.extra_worker(placement.sdk) as first,
        fleet.extra_worker(placement.sdk, service=first.service) as second,
    ):
        assert copies_listed(first, driver) == 2
        route = f"{fleet.engine.http_url}/{second.service}/items/1"

        stopping = background.submit(first.terminate)
        while not stopping.done():
            assert driver.call(second.named("echo"), "here") == "here"
            assert http.get(route).status_code == 200

        wait_until(lambda: copies_listed(second, driver) == 1, "one copy is left")
        assert driver.call(second.named("echo"), "here") == "here"
        assert http.get(route).status_code == 200


@some_sdks
def test_first_copy_serves_again_when_the_second_was_killed(
    fleet: Fleet, driver: RawWorker, http: httpx.Client, placement: Placement
) -> None:
    with (
        fleet.extra_worker(placement.sdk) as first,
        fleet.extra_worker(placement.sdk, service=first.service) as second,
    ):
        driver.call(first.named("remember"), {"note": "told to the second"})
        assert notes_of(first, driver) == ["told to the second"]

        second.kill()

        wait_until(lambda: copies_listed(first, driver) == 1, "one copy is left")
        assert notes_of(first, driver) == []
        assert http.get(f"{fleet.engine.http_url}/{first.service}/items/1").status_code == 200
