"""Schedules through published SDKs of every generation."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.acceptance.cron_schedule import (
    OPEN,
    SECOND_MS,
    Schedule,
    Tick,
    gaps,
    in_utc,
    listed,
    repeated,
    unix_ms,
)
from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import Placement, sdks_where
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import Sdk
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until, wait_until_still

# The first one that was published, those of the next release, and the newest ones of the time.
GENERATIONS: Final = (
    Sdk("node", "0.2.1"),
    Sdk("node", "0.3.0"),
    Sdk("node", "0.22.1"),
    Sdk("python", "0.4.1"),
    Sdk("python", "0.22.1"),
)
each_generation = sdks_where(lambda sdk: sdk in GENERATIONS)

# These versions print why a trigger of theirs was refused; earlier ones drop the answer.
_PRINTS_REFUSALS: Final = (0, 22, 0)

EVERY_SECOND: Final = "* * * * * * *"
LIMIT_S: Final = 15
# How late a run may be where twenty workers share two processors.
LATE_MS: Final = 1_500

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_EXACT_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00")


@pytest.fixture
def schedule(driver: RawWorker) -> Schedule:
    """A schedule of the test's own."""
    return Schedule(driver)


@contextmanager
def bound(
    driver: RawWorker,
    worker: WorkerProcess,
    schedule: Schedule | None,
    function_id: str,
    is_left: bool = False,
    **config: Any,
) -> Iterator[None]:
    """Let a worker bind a function to a schedule by its own SDK, while the block runs.

    Args:
        schedule: None for one whose id the engine makes.
        is_left: the worker leaves within the block, and its trigger with it.
        config: more members of the trigger's config, or others.
    """
    trigger = {"expression": EVERY_SECOND, **config}
    if schedule is not None:
        trigger["schedule_id"] = schedule.id
    bind = {"trigger_type": "cron", "function_id": function_id, "config": trigger}
    driver.call(worker.named("bind"), bind)
    yield
    if not is_left:
        driver.call(worker.named("unbind"), {"function_id": function_id})


def calls_of(driver: RawWorker, worker: WorkerProcess, schedule: Schedule) -> list[dict[str, Any]]:
    """Return the payloads with which a schedule has called the worker's `work`."""
    jobs = {tick.trigger_id for tick in schedule.ticks() if tick.trigger_id}
    works = driver.call(worker.named("worked"))
    return [work for work in works if isinstance(work, dict) and work.get("job_id") in jobs]


def wait_for(schedule: Schedule, state: str, count: int) -> list[Tick]:
    """Return the ticks in a state, once there are so many."""
    wait_until(lambda: len(with_state(schedule, state)) >= count, f"{count} are {state}", LIMIT_S)
    return with_state(schedule, state)


def with_state(schedule: Schedule, *states: str) -> list[Tick]:
    """Return the ticks that are in one of these states."""
    return [tick for tick in schedule.ticks() if tick.state in states]


# --- what is asked of every deployment ----------------------------------------------------------


def check_payload(driver: RawWorker, worker: WorkerProcess, schedule: Schedule) -> None:
    """Let the worker be called every other second, and look at what it gets."""
    with bound(driver, worker, schedule, worker.named("work"), expression="*/2 * * * * *"):
        done = wait_for(schedule, "done", 2)
        calls = calls_of(driver, worker, schedule)
    for call in calls:
        assert set(call) == {"trigger", "job_id", "scheduled_time", "actual_time"}
        assert call["trigger"] == "cron"
        assert _TIME.fullmatch(call["scheduled_time"])
        assert _EXACT_TIME.fullmatch(call["actual_time"])
        scheduled_at, actual_at = (
            unix_ms(call[f"{kind}_time"]) for kind in ("scheduled", "actual")
        )
        assert scheduled_at % (2 * SECOND_MS) == 0
        assert 0 <= actual_at - scheduled_at < LATE_MS
    times = [unix_ms(call["scheduled_time"]) for call in calls]
    assert times[:2] == [tick.scheduled_at for tick in done[:2]]
    assert {call["job_id"] for call in calls} == {tick.trigger_id for tick in done}
    assert len({call["job_id"] for call in calls}) == 1


def check_errors(driver: RawWorker, worker: WorkerProcess, schedule: Schedule) -> None:
    """Let a function throw: its tick says so, and the next one is run as well."""
    with bound(driver, worker, schedule, worker.named("fail")):
        failed = wait_for(schedule, "failed", 2)
    assert failed[1].scheduled_at - failed[0].scheduled_at == SECOND_MS
    assert all("told to fail" in tick.error for tick in failed)


# --- embedded, on SQLite ------------------------------------------------------------------------


@each_generation
def test_a_function_is_called_with_the_times_of_its_run(
    worker: WorkerProcess, driver: RawWorker, schedule: Schedule
) -> None:
    check_payload(driver, worker, schedule)


@each_generation
def test_a_handler_that_throws_is_called_again(
    worker: WorkerProcess, driver: RawWorker, schedule: Schedule
) -> None:
    check_errors(driver, worker, schedule)


@each_generation
def test_a_condition_decides_with_the_payload_of_the_run(
    worker: WorkerProcess, driver: RawWorker, schedule: Schedule
) -> None:
    asked: list[dict[str, Any]] = []
    condition = f"driver::{uuid.uuid4()}"

    def is_even(data: dict[str, Any]) -> bool:
        asked.append(data)
        return in_utc(unix_ms(data["scheduled_time"])).second % 2 == 0

    driver.serve(condition, is_even)
    with bound(driver, worker, schedule, worker.named("work"), condition_function_id=condition):
        wait_until(lambda: len(with_state(schedule, "done", "skipped")) >= 4, "four ticks", LIMIT_S)
        ticks = with_state(schedule, "done", "skipped")
        calls = calls_of(driver, worker, schedule)
    assert {(t.scheduled_at % (2 * SECOND_MS), t.state, t.reason) for t in ticks} == {
        (0, "done", ""),
        (SECOND_MS, "skipped", "condition"),
    }
    assert all(call in asked for call in calls)
    assert all(unix_ms(call["scheduled_time"]) % (2 * SECOND_MS) == 0 for call in calls)


@each_generation
def test_a_trigger_that_is_taken_back_ends_its_schedule(
    worker: WorkerProcess, driver: RawWorker, schedule: Schedule
) -> None:
    with bound(driver, worker, schedule, worker.named("work")):
        wait_until(lambda: with_state(schedule, "done"), "it is called", LIMIT_S)

    wait_until(lambda: schedule.state == "ended", "the schedule has ended", LIMIT_S)
    ticks = wait_until_still(schedule.ticks, "what it was due", looks=75)
    assert {tick.state for tick in ticks} <= {"done", "missed"}
    assert len(calls_of(driver, worker, schedule)) == len(with_state(schedule, "done"))
    found = schedule.listed()
    assert found is not None
    assert found["next_run"] is None


@each_generation
def test_replicas_of_two_workers_are_one_schedule(
    worker: WorkerProcess, placement: Placement, fleet: Fleet, driver: RawWorker
) -> None:
    function_id = f"driver::{uuid.uuid4()}"
    called: list[int] = []
    driver.serve(function_id, lambda data: called.append(unix_ms(data["scheduled_time"])))
    with (
        fleet.extra_worker(placement.sdk) as replica,
        bound(driver, worker, None, function_id),
        bound(driver, replica, None, function_id, is_left=True),
    ):
        wait_until(lambda: len(called) >= 3, "it is called", LIMIT_S)
        (found,) = listed(driver, function_id)
        # The newer one, which is in charge, leaves; the other one goes on.
        assert replica.terminate() == 0
        before = len(called)
        wait_until(lambda: len(called) >= before + 2, "it is called as before", LIMIT_S)
        made = Schedule(driver, found["schedule_id"])
        assert made.state == "active"
    assert repeated(called) == []
    assert gaps(made.ticks()) == []


@each_generation
def test_a_worker_that_is_replaced_keeps_its_schedule(
    placement: Placement, fleet: Fleet, driver: RawWorker
) -> None:
    service = f"deployed-{uuid.uuid4()}"
    function_id = f"{service}::work"
    trigger = {"expression": EVERY_SECOND}
    bind = {"trigger_type": "cron", "function_id": function_id, "config": trigger}
    with fleet.extra_worker(placement.sdk, service=service) as worker:
        driver.call(worker.named("bind"), bind)
        found = wait_until(lambda: listed(driver, function_id), "it is known", LIMIT_S)
        schedule = Schedule(driver, found[0]["schedule_id"])
        wait_until(lambda: with_state(schedule, "done"), "it is called", LIMIT_S)
        assert worker.terminate() == 0
    wait_until(lambda: schedule.state == "detached", "its worker is away", LIMIT_S)
    away = schedule.ticks()[-1].scheduled_at

    with fleet.extra_worker(placement.sdk, service=service) as worker:
        driver.call(worker.named("bind"), bind)
        wait_until(
            lambda: with_state(schedule, "done")[-1].scheduled_at > away + SECOND_MS,
            "it is called again",
            LIMIT_S,
        )
        assert schedule.state == "active"
        assert len(listed(driver, function_id)) == 1
        calls = calls_of(driver, worker, schedule)
    ticks = schedule.ticks()
    assert gaps(ticks) == []
    # Asked to end, it has finished what it had begun; back in time, it makes up for one tick.
    others = {(t.state, t.reason) for t in ticks if t.state not in {"done", *OPEN}}
    assert others <= {("missed", "no_worker"), ("skipped", "overlap")}
    assert repeated(unix_ms(call["scheduled_time"]) for call in calls) == []


@each_generation
def test_what_is_no_expression_is_refused_and_the_worker_goes_on(
    worker: WorkerProcess, driver: RawWorker, schedule: Schedule
) -> None:
    before = worker.output.count("Trigger registration failed")
    with bound(driver, worker, schedule, worker.named("work"), expression="* * * * *"):
        refusals = 1 if worker.sdk.release >= _PRINTS_REFUSALS else 0
        wait_until(
            lambda: worker.output.count("Trigger registration failed") == before + refusals,
            "the SDK says so",
            LIMIT_S,
        )
        assert driver.call(worker.named("echo"), "still there") == "still there"
        assert schedule.listed() is None
    if refusals:
        assert "with seconds and year it is `0 * * * * * *`" in worker.output


@each_generation
@pytest.mark.parametrize(
    ("expression", "interval_s"),
    [("@hourly", 3_600), ("0 0 * * * *", 3_600), ("0 0 0 * * * *", 86_400)],
    ids=["shorthand", "six fields", "seven fields"],
)
def test_every_form_of_an_expression_is_taken(
    worker: WorkerProcess,
    driver: RawWorker,
    schedule: Schedule,
    expression: str,
    interval_s: int,
) -> None:
    with bound(driver, worker, schedule, worker.named("work"), expression=expression):
        wait_until(schedule.listed, "it is known", LIMIT_S)
        found = schedule.listed()
        assert found is not None
        assert found["expression"] == expression
        assert unix_ms(found["next_run"]) % (interval_s * SECOND_MS) == 0
        assert schedule.ticks() == []
    wait_until(lambda: schedule.state == "ended", "it has ended", LIMIT_S)
