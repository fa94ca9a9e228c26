from __future__ import annotations

from typing import Any, Final

import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import every_sdk
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.acceptance.sdks import NEWEST, Sdk
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

JSON_VALUES: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "zero": 0,
    "fraction": -1.5,
    "largest-exact-number": 9007199254740991,
    "empty-text": "",
    "text": 'Grüße, 世界 🌍 \x00 " \\ /',
    "empty-list": [],
    "nested-list": [1, [2, [3]]],
    "empty-object": {},
    "nested-object": {"a": {"b": [None, False, {"c": ""}]}, "": 1},
}

each_partner = pytest.mark.parametrize("partner_sdk", NEWEST, ids=lambda sdk: sdk.language)


def call_through(driver: RawWorker, caller: WorkerProcess, **call: Any) -> dict[str, Any]:
    """Have a worker make a call with its own SDK; return `{result}` or `{error}`."""
    outcome: dict[str, Any] = driver.call(caller.named("call"), call)
    return outcome


def assert_shows_code(outcome: dict[str, Any], code: str) -> None:
    """Assert that a failed call shows a code; SDKs without typed errors have it in the text."""
    error = outcome["error"]
    assert error["code"] == code or (error["code"] is None and code in error["message"])


@every_sdk
@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_values_pass_a_worker_unchanged(
    worker: WorkerProcess, driver: RawWorker, value: Any
) -> None:
    assert driver.call(worker.named("echo"), value) == value


@every_sdk
@each_partner
def test_worker_calls_a_worker_of_another_language(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]

    outcome = call_through(driver, worker, function_id=partner.named("add"), data={"a": 40, "b": 2})

    assert outcome == {"result": 42}


@every_sdk
@each_partner
def test_worker_is_called_by_a_worker_of_another_language(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]

    outcome = call_through(driver, partner, function_id=worker.named("add"), data={"a": 40, "b": 2})

    assert outcome == {"result": 42}


@every_sdk
def test_worker_calls_its_own_function(worker: WorkerProcess, driver: RawWorker) -> None:
    outcome = call_through(driver, worker, function_id=worker.named("echo"), data=["self"])

    assert outcome == {"result": ["self"]}


@every_sdk
def test_call_without_data_arrives_as_null(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    partner = fleet[NEWEST[0]]

    outcome = call_through(driver, worker, function_id=partner.named("echo"))

    assert outcome.get("result") is None
    assert "error" not in outcome


@every_sdk
def test_function_that_returns_nothing_ends_the_call(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    partner = fleet[NEWEST[1]]

    outcome = call_through(driver, partner, function_id=worker.named("nothing"))

    assert driver.call(worker.named("nothing")) is None
    assert outcome == {"result": None}


@every_sdk
def test_failure_reaches_the_caller_with_its_code_and_text(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    with pytest.raises(CallFailed) as failed:
        driver.call(worker.named("fail"))

    assert failed.value.code == "invocation_failed"
    assert "told to fail" in failed.value.message


@every_sdk
@each_partner
def test_sdk_shows_the_code_of_a_failed_call(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]

    outcome = call_through(driver, worker, function_id=partner.named("fail"))

    assert_shows_code(outcome, "invocation_failed")
    assert "told to fail" in outcome["error"]["message"]


@every_sdk
def test_sdk_shows_that_a_function_is_unknown(worker: WorkerProcess, driver: RawWorker) -> None:
    outcome = call_through(driver, worker, function_id="nobody::has_this")

    assert_shows_code(outcome, "function_not_found")


@every_sdk
def test_sdk_gives_up_after_its_own_timeout(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker
) -> None:
    slow = fleet[NEWEST[1]].named("slow")

    outcome = call_through(driver, worker, function_id=slow, data={"ms": 3000}, timeout_ms=300)

    assert "time" in outcome["error"]["message"].lower()


@every_sdk
@each_partner
def test_void_call_reaches_a_worker_of_another_language(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]
    note = f"from {worker.name}"

    driver.call(
        worker.named("call_void"),
        {"function_id": partner.named("remember"), "data": {"note": note}},
    )

    wait_until(lambda: note in driver.call(partner.named("remembered")), "the note arrives")


@every_sdk
def test_worker_serves_void_calls(worker: WorkerProcess, fleet: Fleet, driver: RawWorker) -> None:
    partner = fleet[NEWEST[0]]
    note = f"from {partner.name}"

    driver.call(
        partner.named("call_void"),
        {"function_id": worker.named("remember"), "data": {"note": note}},
    )

    wait_until(lambda: note in driver.call(worker.named("remembered")), "the note arrives")


@every_sdk
@each_partner
def test_parallel_calls_each_get_their_own_answer(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]
    items = [{"number": number} for number in range(50)]

    results = driver.call(
        worker.named("call_parallel"), {"function_id": partner.named("echo"), "items": items}
    )

    assert results == items


@every_sdk
def test_quick_calls_overtake_a_slow_one(worker: WorkerProcess, driver: RawWorker) -> None:
    slow = driver.start_call(worker.named("slow"), {"ms": 1500})

    assert driver.call(worker.named("echo"), "quick") == "quick"
    assert not slow.done()
    assert slow.result(10) == "done"
