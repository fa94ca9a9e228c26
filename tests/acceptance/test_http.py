from __future__ import annotations

import httpx

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import every_sdk
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until


@every_sdk
def test_worker_serves_a_route_with_a_path_parameter(
    worker: WorkerProcess, fleet: Fleet, http: httpx.Client
) -> None:
    response = http.get(f"{fleet.engine.http_url}/{worker.service}/items/4%202")

    assert (response.status_code, response.json()) == (200, {"id": "4%202", "by": worker.service})
    assert response.headers["content-type"].startswith("application/json")


@every_sdk
def test_route_appears_and_disappears_with_its_trigger(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, http: httpx.Client
) -> None:
    path = f"/{worker.service}/more/:id"
    url = f"{fleet.engine.http_url}/{worker.service}/more/7"
    assert http.get(url).status_code == 404

    driver.call(worker.named("open_route"), {"path": path})
    wait_until(lambda: http.get(url).status_code == 200, "the route answers")
    assert http.get(url).json() == {"id": "7", "by": worker.service}

    driver.call(worker.named("close_route"), {"path": path})
    wait_until(lambda: http.get(url).status_code == 404, "the route is gone")
