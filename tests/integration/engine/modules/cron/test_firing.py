"""When functions are called, with what, and when they are not: M160 to M172."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.core.engine import Engine
from tests.integration.engine.modules.cron.support import (
    EVERY_SECOND,
    CronWorker,
)
from tests.waiting import eventually

NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

SOON = timedelta(seconds=5)
"""Days that begin so soon count as today: the test may run into them."""


def due(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["data"]["scheduled_time"])


def near_days() -> list[datetime]:
    """Return today, and tomorrow if it is about to begin."""
    now = datetime.now(UTC)
    return [now] if (now + SOON).date() == now.date() else [now, now + SOON]


def numbers_of(days: list[datetime]) -> set[int]:
    """Return weekdays by the rule 1 = Sunday."""
    return {day.isoweekday() % 7 + 1 for day in days}


async def test_seven_fields_fire_on_the_seconds_they_name(worker: CronWorker) -> None:
    """M160, M161: with and without the year."""
    worker.schedule("*/2 * * * * * *", "seven")
    worker.schedule("*/2 * * * * *", "six")
    events = await worker.handle(4)
    for function_id in ("seven", "six"):
        times = [due(each) for each in events if each["function_id"] == function_id]
        assert [time.second % 2 for time in times] == [0, 0]
        assert times[1] - times[0] == timedelta(seconds=2)


async def test_a_handler_gets_trigger_job_and_both_times(worker: CronWorker) -> None:
    """M163."""
    trigger_id = worker.schedule(metadata={"team": "a"})
    event = await worker.next()
    assert event["data"].keys() == {"trigger", "job_id", "scheduled_time", "actual_time"}
    assert (event["data"]["trigger"], event["data"]["job_id"]) == ("cron", trigger_id)
    assert event["metadata"] == {"team": "a"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", event["data"]["scheduled_time"])
    actual = event["data"]["actual_time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00", actual)
    assert due(event) <= datetime.fromisoformat(actual[:26] + "+00:00")


async def test_runs_do_not_overlap_and_what_passes_meanwhile_is_skipped(
    worker: CronWorker,
) -> None:
    """M164."""
    worker.schedule()
    first = await worker.next()
    skipped = await worker.tick(state="skipped", reason="overlap")
    assert worker.handled == [each for each in worker.take() if "data" in each] == []
    worker.reply(first, None)
    second = await worker.next()
    assert due(second) > datetime.fromisoformat(skipped["scheduled_time"]) > due(first)
    states = [each["state"] for each in await worker.ticks() if each["state"] != "due"]
    assert states[0] == "done"
    assert set(states[1:-1]) == {"skipped"}


async def test_a_year_that_is_over_never_fires(worker: CronWorker) -> None:
    """M165."""
    worker.schedule("* * * * * * 2020")
    schedule = await worker.only_schedule()
    assert (schedule["next_run"], schedule["last_run"]) == (None, None)


async def test_weekdays_fire_by_name_and_by_number_from_sunday_on(worker: CronWorker) -> None:
    """M166, M167: both day fields have to match."""
    days = near_days()
    today = numbers_of(days)
    names = ",".join(NAMES[number - 1] for number in today)
    numbers = ",".join(map(str, today))
    others = ",".join(str(each) for each in range(1, 8) if each not in today)
    dates = {day.day for day in days}
    other_dates = ",".join(str(each) for each in range(1, 32) if each not in dates)
    worker.schedule(f"* * * * * {names} *", "name")
    worker.schedule(f"* * * * * {numbers} *", "number")
    worker.schedule(f"* * * * * {others} *", "other")
    worker.schedule(f"* * * {other_dates} * {names} *", "other_date")
    events = await worker.handle(4)
    assert {each["function_id"] for each in events} == {"name", "number"}


@pytest.mark.parametrize("goes", ["unregistered", "away"])
async def test_nothing_fires_when_the_trigger_or_its_worker_has_gone(
    worker: CronWorker, cron: Engine, goes: str
) -> None:
    """M168."""
    trigger_id = worker.schedule()
    await worker.handle(1)
    other = CronWorker(cron)
    if goes == "unregistered":
        worker.send("unregistertrigger", id=trigger_id)
        assert (await other.until_state("ended"))["next_run"] is None

        async def is_over() -> bool:
            return not {"due", "running"} & {each["state"] for each in await other.ticks()}

        await eventually(is_over, lambda: "no tick that is open")
    else:
        worker.leave()
        await other.until_state("detached")
        await other.tick(state="missed", reason="no_worker")
    assert [each for each in worker.take() if each["type"] == "invokefunction"] == []


async def test_a_condition_that_says_false_skips_each_tick_and_is_asked_again(
    worker: CronWorker,
) -> None:
    """M169."""
    worker.function("check")
    worker.schedule(condition_function_id="check")
    for _ in range(2):
        asked = await worker.next()
        assert (asked["function_id"], asked["data"]["trigger"]) == ("check", "cron")
        worker.reply(asked, False)
    await worker.tick(state="skipped", reason="condition", started_at=None)
    asked = await worker.next()
    worker.reply(asked, None)
    called = await worker.next()
    assert (called["function_id"], called["data"]) == ("handle", asked["data"])


async def test_after_a_handler_that_fails_the_next_tick_fires(worker: CronWorker) -> None:
    """M170."""
    worker.schedule()
    first = await worker.next()
    worker.error(first, {"code": "oops", "message": "broken"})
    second = await worker.next()
    assert due(second) > due(first)
    tick = await worker.tick(state="failed")
    assert (tick["error"], tick["trigger_id"]) == ("oops: broken", first["data"]["job_id"])
    assert tick["trace_id"] == first["traceparent"].split("-")[1]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"expression": "* * * * *"}, "the expression has 5 fields, it needs 7"),
        ({"expression": ""}, "`expression` is missing or empty"),
        ({}, "`expression` is missing or empty"),
        ({"expression": "? * * * * *"}, "`?` stands in the day fields only"),
        ({"expression": "0 0 0 L * *"}, "`L` (the last one) is not part"),
        ({"expression": "0 0 0 15W * *"}, "`W` (the nearest working day) is not part"),
        ({"expression": "61 * * * * *"}, "seconds: `61` is above 59"),
        ({"expression": EVERY_SECOND, "timezone": "Mars"}, "`timezone`: `Mars` is unknown"),
        ({"expression": EVERY_SECOND, "overlap": 1}, "`overlap`: expected one of skip, allow"),
        ([], "expected an object with `expression`, got a list"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_the_field_and_the_fix(
    sqlite_cron: Engine, config: Any, problem: str
) -> None:
    """M162, M171, M172."""
    worker = CronWorker(sqlite_cron)
    worker.function("handle")
    worker.trigger("t", "cron", "handle", config=config)
    frame = worker.take_one()
    assert (frame["type"], frame["id"]) == ("triggerregistrationresult", "t")
    assert frame["error"]["code"] == "trigger_registration_failed"
    assert frame["error"]["message"].startswith("cron trigger t: bad config: ")
    assert problem in frame["error"]["message"]
    assert await worker.schedules() == []


async def test_shorthands_and_the_old_name_of_the_expression_are_taken(
    worker: CronWorker,
) -> None:
    """M171."""
    worker.schedule("@hourly", "hourly")
    worker.function("old")
    worker.trigger("old", "cron", "old", config={"cron": "0 0 0 * * * *"})
    await worker.until_state("active", "old")
    schedules = {each["function_id"]: each for each in await worker.schedules()}
    assert schedules["hourly"]["description"] == "every hour"
    assert schedules["old"]["expression"] == "0 0 0 * * * *"
