from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import every_sdk, sdks_where
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import NEWEST, Sdk
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

each_partner = pytest.mark.parametrize("partner_sdk", NEWEST, ids=lambda sdk: sdk.language)


def bells_of(driver: RawWorker, provider: WorkerProcess, function_id: str) -> list[dict[str, Any]]:
    """Return the triggers of a provider's types that are bound to a function."""
    bells = driver.call(provider.named("bells"))
    return [bell for bell in bells if bell["function_id"] == function_id]


@every_sdk
def test_provider_gets_the_triggers_of_its_type_and_fires_them(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    function_id = f"bell::{uuid.uuid4()}"
    heard: list[Any] = []
    driver.serve(function_id, heard.append)

    trigger_id = driver.bind(worker.named("bell"), function_id, {"tone": "low"})

    bells = wait_until(lambda: bells_of(driver, worker, function_id), "the bell is bound")
    assert bells == [{"id": trigger_id, "function_id": function_id, "config": {"tone": "low"}}]
    driver.call(worker.named("ring"), {"function_id": function_id, "payload": {"times": 3}})
    assert heard == [{"times": 3}]


@every_sdk
def test_trigger_waits_for_a_provider_that_comes_later(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    function_id = f"bell::{uuid.uuid4()}"
    trigger_type = f"late-bell-{uuid.uuid4()}"
    driver.serve(function_id, lambda data: data)
    driver.bind(trigger_type, function_id, {"tone": "late"})

    driver.call(worker.named("offer"), {"id": trigger_type})

    bells = wait_until(lambda: bells_of(driver, worker, function_id), "the bell is bound")
    assert [bell["config"] for bell in bells] == [{"tone": "late"}]


@every_sdk
@each_partner
def test_worker_binds_its_function_to_the_type_of_another_language(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    provider = fleet[partner_sdk]
    function_id = worker.named("remember")
    note = f"rung by {provider.name} {uuid.uuid4()}"

    driver.call(
        worker.named("bind"),
        {"trigger_type": provider.named("bell"), "function_id": function_id, "config": {}},
    )
    wait_until(lambda: bells_of(driver, provider, function_id), "the bell is bound")
    driver.call(provider.named("ring"), {"function_id": function_id, "payload": {"note": note}})

    assert note in driver.call(worker.named("remembered"))
    driver.call(worker.named("unbind"), {"function_id": function_id})
    wait_until(lambda: not bells_of(driver, provider, function_id), "the bell is taken away")


@every_sdk
def test_worker_binds_its_function_to_its_own_type(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    function_id = worker.named("echo")
    config = {"tone": str(uuid.uuid4())}

    driver.call(
        worker.named("bind"),
        {"trigger_type": worker.named("bell"), "function_id": function_id, "config": config},
    )

    wait_until(
        lambda: config in [bell["config"] for bell in bells_of(driver, worker, function_id)],
        "the bell is bound",
    )


@sdks_where(lambda sdk: sdk.hears_unregistered_triggers)
def test_provider_hears_of_a_trigger_that_is_taken_away(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    function_id = f"bell::{uuid.uuid4()}"
    trigger_id = driver.bind(worker.named("bell"), function_id, {})
    wait_until(lambda: bells_of(driver, worker, function_id), "the bell is bound")

    driver.unbind(trigger_id)

    wait_until(lambda: not bells_of(driver, worker, function_id), "the bell is taken away")


@sdks_where(lambda sdk: sdk.hears_unregistered_triggers)
def test_provider_hears_of_triggers_whose_owner_left(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    function_id = f"bell::{uuid.uuid4()}"
    with fleet.connect() as owner:
        owner.bind(worker.named("bell"), function_id, {})
        wait_until(lambda: bells_of(driver, worker, function_id), "the bell is bound")

    wait_until(lambda: not bells_of(driver, worker, function_id), "the bell is taken away")


@every_sdk
def test_owner_hears_that_the_provider_refused(worker: WorkerProcess, driver: RawWorker) -> None:
    function_id = f"bell::{uuid.uuid4()}"

    trigger_id = driver.bind(worker.named("bell"), function_id, {"refuse": True})

    (refusal,) = wait_until(
        lambda: driver.frames_of("triggerregistrationresult"), "the refusal arrives"
    )
    assert refusal["id"] == trigger_id
    assert refusal["error"]["code"] == "trigger_registration_failed"
    assert "not for sale" in refusal["error"]["message"]
