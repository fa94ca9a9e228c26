"""Schedules and the triggers that ask for them: replicas, changes, workers that come and go."""

from __future__ import annotations

from engine.core.engine import Engine
from tests.integration.engine.modules.cron.support import (
    NEVER,
    CronWorker,
    plan,
    run_ticks,
    running_engine,
)
from tests.waiting import eventually

MANY = 1_000


async def test_replicas_are_one_schedule_and_the_newest_trigger_is_in_charge(
    worker: CronWorker, cron: Engine
) -> None:
    worker.schedule("*/2 * * * * * *", trigger_id="old", metadata={"n": 1})
    other = CronWorker(cron)
    other.schedule("*/2 * * * * *", trigger_id="new", metadata={"n": 2})
    (event,) = await other.handle(1)
    assert (event["data"]["job_id"], event["metadata"]) == ("new", {"n": 2})
    other.leave()
    (event,) = await worker.handle(1)
    assert (event["data"]["job_id"], event["metadata"]) == ("old", {"n": 1})
    for trigger_id in ("new", "old"):
        await worker.tick(state="done", trigger_id=trigger_id)
    assert len(await worker.schedules()) == 1


async def test_a_trigger_that_is_registered_again_changes_its_schedule(
    worker: CronWorker,
) -> None:
    worker.schedule(NEVER, trigger_id="t", schedule_id="s")
    assert (await worker.only_schedule())["overlap"] == "skip"
    worker.schedule(NEVER, trigger_id="t", schedule_id="s", overlap="allow")

    async def is_changed() -> bool:
        return bool((await worker.only_schedule())["overlap"] == "allow")

    await eventually(is_changed)
    assert (await worker.only_schedule())["state"] == "active"


async def test_a_new_expression_without_id_is_another_schedule_and_ends_the_first(
    worker: CronWorker,
) -> None:
    worker.schedule(NEVER, trigger_id="t")
    first = await worker.only_schedule()
    worker.schedule("@hourly", trigger_id="t")
    await worker.until_state("ended", first["schedule_id"])
    states = {each["expression"]: each["state"] for each in await worker.schedules()}
    assert states == {NEVER: "ended", "@hourly": "active"}


async def test_a_schedule_with_an_id_keeps_it_through_a_new_expression(
    worker: CronWorker,
) -> None:
    worker.schedule(NEVER, trigger_id="t", schedule_id="s")
    await worker.only_schedule()
    worker.schedule("* * * * * * *", trigger_id="t", schedule_id="s")
    await worker.handle(1)
    assert len(await worker.schedules()) == 1


async def test_a_schedule_is_taken_up_again_when_its_worker_comes_back(
    worker: CronWorker, cron: Engine
) -> None:
    worker.schedule(NEVER, schedule_id="s")
    await worker.only_schedule()
    other = CronWorker(cron)
    await other.ask("pause", schedule_id="s")
    worker.leave()
    detached = await other.until_state("detached")
    assert detached["next_run"] == "2100-01-01T00:00:00+00:00"
    other.schedule(NEVER, schedule_id="s")
    await other.until_state("paused")


async def test_what_is_due_while_the_worker_is_away_runs_if_it_is_back_in_time(
    still: Engine,
) -> None:
    """A grace of half the way to the next time, and `once` without an end."""
    worker = CronWorker(still)
    worker.schedule("* * * * * * *", schedule_id="soon")
    worker.schedule("* * * * * * *", schedule_id="once", misfire="once")
    await worker.until_state("active", "soon")
    await worker.until_state("active", "once")
    worker.leave()
    back = CronWorker(still)
    for name in ("soon", "once"):
        await back.until_state("detached", name)

    async def are_planned() -> bool:
        await plan(still)
        found = {each["schedule_id"] for each in await back.ticks(state="due")}
        return found == {"soon", "once"}

    await eventually(are_planned, lambda: "due ticks")
    back.schedule("* * * * * * *", schedule_id="soon")
    back.schedule("* * * * * * *", schedule_id="once", misfire="once")
    assert len(await back.events(2)) == 2


async def test_a_replaced_trigger_leaves_no_gap(still: Engine) -> None:
    worker = CronWorker(still)
    worker.schedule(trigger_id="t", schedule_id="s")
    await worker.until_state("active")

    async def is_planned() -> bool:
        return bool((await plan(still))["ticks"])

    await eventually(is_planned)
    worker.schedule(trigger_id="t", schedule_id="s", timeout_ms=5)
    assert await run_ticks(still) >= 1
    assert (await worker.only_schedule())["state"] == "active"


async def test_many_triggers_that_come_at_once_lose_and_double_no_schedule(
    worker: CronWorker, cron: Engine
) -> None:
    def register(on: CronWorker) -> None:
        on.function("handle")
        for number in range(MANY):
            on.trigger(
                f"t{number}",
                "cron",
                "handle",
                config={"expression": NEVER, "schedule_id": f"s{number}"},
            )

    async def attached(on: CronWorker) -> None:
        async def are_there() -> bool:
            return bool((await on.ask("list", state="active", limit=1))["total"] == MANY)

        await eventually(are_there, lambda: f"{MANY} schedules")

    register(worker)
    await attached(worker)
    back = CronWorker(cron)
    worker.leave()
    register(back)
    await attached(back)
    assert (await back.ask("list", limit=1))["total"] == MANY


async def test_schedules_outlive_the_engine(database: tuple[str, str]) -> None:
    async with running_engine(database) as engine:
        worker = CronWorker(engine)
        worker.schedule(schedule_id="s")
        await worker.handle(1)
    async with running_engine(database) as engine:
        worker = CronWorker(engine)
        schedule = await worker.until_state("detached")
        assert schedule["last_run"]["state"] in {"done", "interrupted"}
        worker.schedule(schedule_id="s")
        await worker.handle(1)
        assert (await worker.only_schedule())["state"] == "active"


async def test_namespaces_are_schedules_of_their_own(worker: CronWorker, cron: Engine) -> None:
    other = CronWorker(cron)
    other.void("engine::workers::register", {"namespace": "team"})
    worker.schedule(NEVER)
    other.schedule(NEVER)

    async def are_two() -> bool:
        found = {each["namespace"] for each in await worker.schedules()}
        return found == {"", "team"}

    await eventually(are_two, lambda: "two schedules")
