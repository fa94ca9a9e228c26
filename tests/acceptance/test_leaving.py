from __future__ import annotations

import uuid

import httpx
import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import Placement, every_sdk, sdks_where
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.acceptance.sdks import NEWEST
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until


def functions_of(driver: RawWorker, worker: WorkerProcess) -> list[str]:
    functions = driver.call("engine::functions::list", {})["functions"]
    ids = [function["function_id"] for function in functions]
    return [function for function in ids if function.startswith(worker.named(""))]


def is_unknown(driver: RawWorker, function_id: str) -> bool:
    try:
        driver.call(function_id, {})
    except CallFailed as error:
        return error.code == "function_not_found"
    return False


def names_of_workers(driver: RawWorker) -> list[str]:
    return [worker["name"] for worker in driver.call("engine::workers::list", {})["workers"]]


@sdks_where(lambda sdk: sdk.unregisters_functions)
def test_function_can_be_taken_back(worker: WorkerProcess, driver: RawWorker) -> None:
    function_id = f"{worker.service}::for-a-while-{uuid.uuid4()}"
    driver.call(worker.named("register"), {"id": function_id})
    wait_until(lambda: not is_unknown(driver, function_id), "the function is there")

    driver.call(worker.named("unregister"), {"id": function_id})

    wait_until(lambda: is_unknown(driver, function_id), "the function is gone")
    assert driver.call(worker.named("echo"), 1) == 1


@every_sdk
def test_worker_that_shuts_down_takes_its_functions_and_routes_with_it(
    fleet: Fleet, driver: RawWorker, http: httpx.Client, placement: Placement
) -> None:
    with fleet.extra_worker(placement.sdk) as worker:
        route = f"{fleet.engine.http_url}/{worker.service}/items/1"
        assert http.get(route).status_code == 200
        assert functions_of(driver, worker)

        assert worker.terminate() == 0

    wait_until(lambda: worker.service not in names_of_workers(driver), "the worker is gone")
    assert functions_of(driver, worker) == []
    assert is_unknown(driver, worker.named("echo"))
    assert http.get(route).status_code == 404


@every_sdk
def test_callers_of_a_killed_worker_are_told_at_once(
    fleet: Fleet, driver: RawWorker, placement: Placement
) -> None:
    callers = [fleet[sdk] for sdk in NEWEST]
    with fleet.extra_worker(placement.sdk) as victim:
        call = {"function_id": victim.named("slow"), "data": {"ms": 60_000}}
        through_sdks = [driver.start_call(caller.named("call"), call) for caller in callers]
        direct = driver.start_call(victim.named("slow"), {"ms": 60_000})
        wait_until(lambda: driver.call(victim.named("remembered")) == ["slow"] * 4, "all calls run")

        victim.kill()

        with pytest.raises(CallFailed) as stopped:
            direct.result(5)
        assert stopped.value.code == "invocation_stopped"
        for through_sdk in through_sdks:
            assert through_sdk.result(5)["error"]["code"] == "invocation_stopped"
