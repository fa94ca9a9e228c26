"""What can be asked about schedules, and what people can do with them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.core.engine import Engine
from engine.core.errors import InvocationFailed
from engine.modules.cron import manual, upkeep
from engine.modules.cron.store import schedules
from tests.integration.engine.modules.cron.support import NEVER, CronWorker, internal
from tests.waiting import eventually


async def test_a_schedule_is_listed_with_all_that_it_says(worker: CronWorker) -> None:
    worker.schedule(
        "0 30 9 * * mon-fri 2099",
        timezone="Europe/Berlin",
        overlap="allow",
        misfire="once",
        jitter_ms=5,
        timeout_ms=6,
        schedule_id="reports",
        condition_function_id="check",
        repeat_interrupted=True,
        enabled=False,
    )
    assert await worker.only_schedule() == {
        "schedule_id": "reports",
        "origin": "worker",
        "function_id": "handle",
        "namespace": "",
        "expression": "0 30 9 * * mon-fri 2099",
        "description": "at 09:30 on Mondays to Fridays in 2099",
        "timezone": "Europe/Berlin",
        "condition_function_id": "check",
        "overlap": "allow",
        "misfire": "once",
        "jitter_ms": 5,
        "timeout_ms": 6,
        "repeat_interrupted": True,
        "enabled": False,
        "paused": False,
        "state": "disabled",
        "next_run": "2099-01-01T08:30:00+00:00",
        "next_run_local": "2099-01-01T09:30:00+01:00",
        "skip_next": False,
        "last_run": None,
    }


async def test_lists_are_narrowed_and_have_pages(worker: CronWorker) -> None:
    for name in ("a", "b", "c"):
        worker.schedule(NEVER, name, schedule_id=f"night-{name}")
    await worker.until_state("active", "night-c")
    assert (await worker.ask("list", limit=2))["total"] == 3
    assert len(await worker.schedules(limit=2, offset=2)) == 1
    assert [each["schedule_id"] for each in await worker.schedules(function_id="b")] == ["night-b"]
    assert await worker.schedules(origin="person") == []
    assert await worker.schedules(state="paused") == []
    assert len(await worker.schedules(search="night", state="active", origin="worker")) == 3


async def test_the_next_times_of_a_schedule_and_of_an_expression(worker: CronWorker) -> None:
    worker.schedule("0 0 9 * * * *", timezone="America/New_York", schedule_id="nine")
    await worker.only_schedule()
    expected = {
        "description": "at 09:00 every day",
        "timezone": "America/New_York",
        "runs": [
            {"utc": "2026-03-07T14:00:00+00:00", "local": "2026-03-07T09:00:00-05:00"},
            {"utc": "2026-03-08T13:00:00+00:00", "local": "2026-03-08T09:00:00-04:00"},
        ],
    }
    after = "2026-03-07T00:00:00Z"
    assert await worker.ask("next", schedule_id="nine", count=2, after=after) == expected
    found = await worker.ask(
        "next", expression="0 0 9 * * *", timezone="America/New_York", count=2, after=after
    )
    assert found == expected
    assert (await worker.ask("next", expression="@daily", after=0))["runs"][0] == {
        "utc": "1970-01-02T00:00:00+00:00",
        "local": "1970-01-02T00:00:00+00:00",
    }
    assert (await worker.ask("next", expression="0 0 0 1 1 * 2020"))["runs"] == []


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message"),
    [
        ("list", {"state": "odd"}, "cron_error", "`state` must be one of active, paused"),
        ("list", {"origin": "odd"}, "cron_error", "`origin` must be one of worker, person"),
        ("list", {"limit": 0}, "cron_error", "`limit` must be from 1 to 1000"),
        ("list", {"offset": -1}, "cron_error", "`offset` must not be negative"),
        ("list", {"limit": "x"}, "deserialization_error", "engine::cron::list: Expected"),
        ("ticks", {"state": "claimed"}, "cron_error", "`state` must be one of due, running"),
        ("ticks", {"schedule_id": "x"}, "schedule_not_found", "`schedule_id`: there is no"),
        ("ticks", {"limit": 1001}, "cron_error", "`limit` must be"),
        ("next", {}, "cron_error", "`schedule_id` or `expression` is missing"),
        ("next", {"expression": "* * * * *"}, "cron_error", "the expression has 5 fields"),
        ("next", {"expression": "@daily", "timezone": "x"}, "cron_error", "timezone: `x` is"),
        ("next", {"expression": "@daily", "count": 101}, "cron_error", "`count` must be from 1"),
        ("next", {"expression": "@daily", "after": "x"}, "cron_error", '`after`: "x" is no time'),
        ("next", {"expression": "@daily", "after": -1}, "cron_error", "`after` must be from 0"),
        ("next", {"schedule_id": "x"}, "schedule_not_found", "`schedule_id`: there is no"),
        ("run_now", {}, "cron_error", "`schedule_id` is missing or empty"),
        ("run_now", {"schedule_id": "x"}, "schedule_not_found", "`schedule_id`: there is no"),
        ("pause", {"schedule_id": "x"}, "schedule_not_found", "`schedule_id`: there is no"),
        ("resume", {"schedule_id": ""}, "cron_error", "`schedule_id` is missing or empty"),
        ("skip_next", {"schedule_id": "x"}, "schedule_not_found", "`schedule_id`: there is no"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    sqlite_cron: Engine, name: str, arguments: dict[str, Any], code: str, message: str
) -> None:
    found = await CronWorker(sqlite_cron).code(f"engine::cron::{name}", arguments)
    assert (found[0], found[1][: len(message)]) == (code, message)


async def test_a_wrong_id_is_answered_with_the_nearest_one(worker: CronWorker) -> None:
    worker.schedule(NEVER, schedule_id="nightly-report")
    await worker.only_schedule()
    assert await worker.code("iii::cron::pause", {"schedule_id": "nightly-reports"}) == (
        "schedule_not_found",
        "`schedule_id`: there is no schedule `nightly-reports`; did you mean `nightly-report`?",
    )


async def test_a_run_by_hand_is_one_more_and_may_be_waited_for(worker: CronWorker) -> None:
    trigger_id = worker.schedule(NEVER, schedule_id="s")
    await worker.only_schedule()
    answer = asyncio.create_task(worker.ask("run_now", schedule_id="s", wait=True))
    event: dict[str, Any] = {}

    async def is_called() -> bool:
        event.update(next((each for each in worker.handled if "data" in each), {}))
        return bool(event)

    await eventually(is_called, lambda: "the call")
    assert (event["data"]["job_id"], event["data"]["manual"]) == (trigger_id, True)
    worker.reply(event, {"any": "result"})
    ended = await answer
    assert (ended["state"], ended["reason"], ended["error"]) == ("done", None, None)
    tick = await worker.tick(tick_id=ended["tick_id"])
    assert (tick["manual"], tick["state"], tick["stands_for"]) == (True, "done", 1)
    schedule = await worker.only_schedule()
    assert schedule["last_run"]["state"] == "done"
    assert schedule["next_run"] == "2100-01-01T00:00:00+00:00"


async def test_a_run_by_hand_gets_another_payload_and_is_not_waited_for(
    worker: CronWorker,
) -> None:
    worker.schedule(NEVER, schedule_id="s")
    await worker.only_schedule()
    started = await worker.ask("run_now", schedule_id="s", payload={"only": [1]})
    assert started["state"] == "due"
    event = await worker.next()
    assert event["data"] == {"only": [1]}
    worker.error(event, {"code": "oops", "message": "no"})
    tick = await worker.tick(tick_id=started["tick_id"], state="failed")
    assert tick["error"] == "oops: no"


async def test_a_run_by_hand_that_nobody_can_make_is_missed(
    sqlite_cron: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.1)
    monkeypatch.setattr(manual, "LOOK_S", 0.1)
    monkeypatch.setattr(schedules, "LONGEST_GRACE_MS", 200)
    worker, other = CronWorker(sqlite_cron), CronWorker(sqlite_cron)
    worker.schedule(NEVER, schedule_id="s")
    await worker.only_schedule()
    worker.leave()
    await other.until_state("detached")
    ended = await other.ask("run_now", schedule_id="s", wait=True)
    assert (ended["state"], ended["reason"]) == ("missed", "no_worker")


async def test_a_paused_schedule_skips_its_runs_until_it_is_resumed(worker: CronWorker) -> None:
    worker.schedule(schedule_id="s")
    await worker.only_schedule()
    paused = await worker.ask("pause", schedule_id="s")
    assert (paused["paused"], paused["state"]) == (True, "paused")
    await worker.tick(state="skipped", reason="paused")
    await worker.ask("run_now", schedule_id="s")
    while "manual" not in (event := (await worker.handle(1))[0])["data"]:
        pass  # what was under way when it was paused
    assert event["data"]["manual"] is True
    resumed = await worker.ask("resume", schedule_id="s")
    assert (resumed["paused"], resumed["state"]) == (False, "active")
    assert "manual" not in (await worker.handle(1))[0]["data"]


async def test_the_next_run_is_skipped_once_and_may_be_taken_back(worker: CronWorker) -> None:
    worker.schedule("*/2 * * * * * *", schedule_id="s")
    await worker.handle(1)  # so there are two seconds until the next run
    taken_back = [
        (await worker.ask("skip_next", schedule_id="s", skip=skip))["skip_next"]
        for skip in (True, False)
    ]
    assert taken_back == [True, False]
    assert (await worker.ask("skip_next", schedule_id="s"))["skip_next"] is True
    skipped = await worker.tick(state="skipped", reason="skip_next")
    (event,) = await worker.handle(1)
    called = datetime.fromisoformat(event["data"]["scheduled_time"])
    assert called - datetime.fromisoformat(skipped["scheduled_time"]) == timedelta(seconds=2)


async def test_a_disabled_trigger_says_so_in_its_ticks(worker: CronWorker) -> None:
    worker.schedule(enabled=False)
    await worker.tick(state="skipped", reason="disabled")


async def test_a_person_makes_changes_and_deletes_a_schedule(
    worker: CronWorker, cron: Engine
) -> None:
    worker.function("mail::send")
    made = await internal(
        cron,
        "save",
        {
            "function_id": "mail::send",
            "expression": "* * * * * * *",
            "payload": {"to": "all"},
            "is_new": True,
        },
    )
    assert (made["origin"], made["state"]) == ("person", "active")
    (event,) = await worker.handle(1)
    assert (event["function_id"], event["data"]) == ("mail::send", {"to": "all"})
    changed = await internal(
        cron,
        "save",
        {"schedule_id": made["schedule_id"], "function_id": "mail::send", "expression": NEVER},
    )
    assert (changed["expression"], changed["schedule_id"]) == (NEVER, made["schedule_id"])
    assert await internal(cron, "remove", {"schedule_id": made["schedule_id"]}) == {"removed": True}
    assert await worker.schedules() == []


async def test_a_persons_schedule_with_the_usual_payload_names_itself(
    worker: CronWorker, cron: Engine
) -> None:
    worker.function("f")
    await internal(
        cron,
        "save",
        {"schedule_id": "mine", "function_id": "f", "expression": "* * * * * *", "is_new": True},
    )
    (event,) = await worker.handle(1)
    assert (event["data"]["trigger"], event["data"]["job_id"]) == ("cron", "mine")


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("save", {"expression": NEVER}, "cron_error: `function_id` is missing or empty"),
        ("save", {"function_id": "f", "expression": NEVER}, "cron_error: `schedule_id` is missing"),
        (
            "save",
            {"function_id": "f", "expression": "x", "is_new": True},
            "cron_error: `expression`: the expression has 1 field",
        ),
        (
            "save",
            {"function_id": "f", "expression": NEVER, "schedule_id": "x"},
            "schedule_not_found: `schedule_id`: there is no schedule `x`",
        ),
        (
            "save",
            {"function_id": "f", "expression": NEVER, "schedule_id": "taken", "is_new": True},
            "schedule_exists: ",
        ),
        (
            "save",
            {"function_id": "f", "expression": NEVER, "is_new": True, "payload": "x" * 1_048_577},
            "cron_error: `payload` has 1048579 bytes",
        ),
        ("remove", {"schedule_id": "x"}, "schedule_not_found: `schedule_id`: there is no"),
        ("remove", {"schedule_id": "taken"}, "cron_error: "),
        ("remove", {}, "cron_error: `schedule_id` is missing"),
    ],
)
async def test_what_people_cannot_save_or_delete_is_refused_by_name(
    sqlite_cron: Engine, name: str, arguments: dict[str, Any], error: str
) -> None:
    worker = CronWorker(sqlite_cron)
    worker.schedule(NEVER, schedule_id="taken")
    await worker.only_schedule()
    with pytest.raises(InvocationFailed) as raised:
        await internal(sqlite_cron, name, arguments)
    assert str(raised.value).startswith(error)


async def test_internal_functions_are_not_for_workers(sqlite_cron: Engine) -> None:
    worker = CronWorker(sqlite_cron)
    for name in ("plan", "run_ticks", "save", "remove"):
        code, _ = await worker.code(f"engine::cron::{name}", {})
        assert code == "function_not_found"


async def test_functions_are_listed_with_what_they_take(sqlite_cron: Engine) -> None:
    worker = CronWorker(sqlite_cron)
    functions = await worker.result("engine::functions::list", {"include_internal": True})
    found = {
        each["function_id"]: each
        for each in functions["functions"]
        if each["function_id"].startswith("engine::cron::")
    }
    assert found.keys() == {
        f"engine::cron::{name}"
        for name in ("list", "next", "ticks", "run_now", "pause", "resume", "skip_next")
    }
    assert all(each["description"] and each["request_format"] for each in found.values())
    assert msgspec.json.encode(found)
