"""The clock of schedules in a thread of the engine: it asks the engine what is due."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.background import planners
from engine.background.broker import MEMORY_URL
from engine.background.planners import EnginePlanner
from engine.background.process_link import make_link
from engine.background.service import BackgroundWork
from engine.core.errors import BackendFailed
from engine.core.functions import Call
from engine.modules.cron.records import LEAD_MS, Planned
from iiiproject.background import load_app
from kv.clock import now_ms
from tests.integration.engine.background.conftest import LIMIT_S, Site

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


def start_work(site: Site) -> BackgroundWork:
    """Start the background work of the site's engine."""
    work = BackgroundWork(load_app, MEMORY_URL, site.url, None, lambda: None)
    work.start()
    return work


async def stop(work: BackgroundWork) -> None:
    """Stop it as an engine does."""
    work.refuse()
    await work.stop(LIMIT_S)
    assert not [each for each in threading.enumerate() if each.name.startswith("celery")]


async def test_what_is_due_is_run_by_a_task(site: Site) -> None:
    site.add_cron()
    site.planned = [Planned(2, None, ("",))]
    work = start_work(site)

    await site.until(lambda: site.runs == 1, "the engine is asked to run it")
    await stop(work)


async def test_what_is_due_soon_is_planned_when_it_is(site: Site) -> None:
    site.add_cron()
    due_at = now_ms() + LEAD_MS + 300
    site.planned = [Planned(0, due_at, ()), Planned(1, None, ("",))]
    work = start_work(site)

    await site.until(lambda: site.runs == 1, "the engine is asked to run it")
    assert due_at - LEAD_MS <= now_ms() <= due_at
    await stop(work)


async def test_a_change_is_seen_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planners.Planner, "pause_s", LIMIT_S * 2)
    site.add_cron()
    work = start_work(site)
    await site.until(lambda: site.plans == 1, "the first look")

    site.planned = [Planned(1, None, ("",))]
    work.publisher.wake_clock()

    await site.until(lambda: site.runs == 1, "the change is seen")
    await stop(work)


async def test_nothing_is_told_of_an_engine_without_the_cron_module(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    work = start_work(site)
    work.publisher.send_drain([1])
    await site.until(lambda: site.drained == [[1]], "the threads run")

    await stop(work)

    assert work.health() == {"status": "healthy", "details": {"embedded": True}}
    assert "clock" not in caplog.text


async def test_the_answer_of_an_engine_is_what_it_has_planned(site: Site) -> None:
    link = make_link(site.url)
    planner = EnginePlanner(link, is_own=False)
    try:
        assert await asyncio.to_thread(planner.plan) is None  # it has no cron module

        site.add_cron()
        site.planned = [Planned(3, 1_790_000_000_000, ("", "ws://other:1"))]

        answer = await asyncio.to_thread(planner.plan)
    finally:
        await asyncio.to_thread(link.close)
    assert answer == Planned(3, 1_790_000_000_000, ["", "ws://other:1"])


async def test_an_engine_that_cannot_plan_is_asked_again_and_health_tells_of_it(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    is_broken = True

    def plan(call: Call) -> bytes:
        if is_broken:
            raise BackendFailed("the disk is full")
        return site._plan(call)

    site.engine.register_function("engine::cron::plan", plan, is_internal=True)
    work = start_work(site)
    await site.until(lambda: "clock" in work.health()["details"], "health tells of it")
    assert "the disk is full" in work.health()["details"]["clock"]

    is_broken = False

    await site.until(lambda: work.health()["status"] == "healthy", "it plans again")
    await stop(work)
    assert caplog.text.count("the clock of schedules broke") == 1
