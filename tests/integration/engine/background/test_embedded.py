"""Celery in threads of the engine: tasks reach the engine by the worker port."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from celery import Celery, shared_task
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from engine.background import embedded, publisher
from engine.background.broker import MEMORY_URL
from engine.background.memory_transport import Bell
from engine.background.service import BackgroundWork
from engine.core.functions import Call
from engine.tasks import invoke
from iiiproject.background import load_app
from tests.integration.engine.background.conftest import LIMIT_S, Site

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


async def test_a_drain_that_is_sent_calls_the_engine(site: Site, work: BackgroundWork) -> None:
    work.publisher.send_drain([3, 1])

    await site.until(lambda: site.drained, "the engine was called")
    assert site.drained == [[3, 1]]


async def test_a_drain_wakes_who_waits_for_it(
    site: Site, work: BackgroundWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = Bell.wait

    def wait_for_ever(bell: Bell, rings: int, interruptions: int, timeout_s: float | None) -> bool:
        return wait(bell, rings, interruptions, None)

    monkeypatch.setattr(Bell, "wait", wait_for_ever)
    for number in range(20):
        work.publisher.send_drain([number])
        await site.until(lambda: len(site.drained) > number, "the engine was called")  # noqa: B023

    assert site.drained == [[number] for number in range(20)]


async def test_drains_run_at_the_same_time_and_no_more_than_there_are_threads(
    site: Site, work: BackgroundWork
) -> None:
    site.answer = asyncio.get_running_loop().create_future()
    for number in range(6):
        work.publisher.send_drain([number])
    await site.until(lambda: len(site.drained) == 4, "four threads wait for the engine")

    site.answer.set_result(None)

    await site.until(lambda: len(site.drained) == 6, "the others follow")


async def test_the_process_is_known_as_internal_and_is_no_worker(
    site: Site, work: BackgroundWork
) -> None:
    await site.until(lambda: site.engine.workers.connections, "the link is up")
    await site.until(lambda: site.engine.workers.connections[0].info.runtime, "it says who it is")

    [session] = site.engine.workers.connections
    assert session.is_internal
    assert session.info.runtime == "celery"
    assert len(site.engine.workers) == 0


async def test_stopping_waits_for_a_drain_that_runs(site: Site, work: BackgroundWork) -> None:
    site.answer = asyncio.get_running_loop().create_future()
    work.publisher.send_drain([1])
    await site.until(lambda: site.drained, "the engine was called")
    work.refuse()

    stopping = asyncio.ensure_future(work.stop(10.0))
    work.publisher.send_drain([2])
    await asyncio.wait({stopping}, timeout=0.2)
    assert not stopping.done()
    site.answer.set_result(None)

    await asyncio.wait_for(stopping, 5.0)
    assert site.drained == [[1]]
    assert is_over()


def is_over() -> bool:
    """Tell whether no thread of Celery is left."""
    return not any(each.name.startswith("celery") for each in threading.enumerate())


_ran: list[str] = []
_may_end = threading.Event()


@shared_task(name="tests.remember")
def remember(word: str) -> None:
    """Remember a word."""
    _ran.append(word)


@shared_task(name="tests.hang")
def hang() -> None:
    """Run until the test lets it end."""
    _ran.append("hangs")
    _may_end.wait(LIMIT_S)


async def test_stopping_leaves_a_task_that_hangs_after_the_grace(
    site: Site, work: BackgroundWork, caplog: pytest.LogCaptureFixture
) -> None:
    _ran.clear()
    _may_end.clear()
    await asyncio.to_thread(hang.apply_async)
    await site.until(lambda: _ran, "the task runs")

    try:
        await work.stop(0.2)
    finally:
        _may_end.set()

    assert "the embedded Celery did not end in time: worker" in caplog.text
    await site.until(is_over, "the worker has ended")


async def test_stopping_in_a_hurry_waits_for_no_task(site: Site, work: BackgroundWork) -> None:
    _ran.clear()
    _may_end.clear()
    await asyncio.to_thread(hang.apply_async)
    await site.until(lambda: _ran, "the task runs")

    stopping = asyncio.ensure_future(work.stop(LIMIT_S))
    work.hurry()

    try:
        await asyncio.wait_for(stopping, LIMIT_S / 3)
    finally:
        _may_end.set()
    await site.until(is_over, "the worker has ended")


async def test_a_task_with_a_countdown_runs_after_it(site: Site, work: BackgroundWork) -> None:
    _ran.clear()
    began = time.monotonic()

    await asyncio.to_thread(remember.apply_async, ("late",), countdown=0.5)

    await site.until(lambda: _ran == ["late"], "the task has run")
    assert time.monotonic() - began >= 0.5


async def test_a_periodic_task_of_the_database_runs(site: Site, work: BackgroundWork) -> None:
    _ran.clear()

    def schedule() -> None:
        every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
        PeriodicTask.objects.create(
            name="test", task="tests.remember", args='["tick"]', interval=every
        )

    await asyncio.to_thread(schedule)

    await site.until(lambda: _ran, "beat has sent the task and the worker has run it")
    assert set(_ran) == {"tick"}


async def test_a_periodic_task_may_call_any_function_of_the_engine(
    site: Site, work: BackgroundWork
) -> None:
    called: list[bytes] = []

    def note(call: Call) -> bytes:
        called.append(bytes(call.data))
        return b"null"

    site.engine.register_function("shop::note", note)

    def schedule() -> None:
        every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
        PeriodicTask.objects.create(
            name="test",
            task="engine.tasks.invoke",
            args='["shop::note"]',
            kwargs='{"data": {"orders": [1, 2]}}',
            interval=every,
        )

    await asyncio.to_thread(schedule)

    await site.until(lambda: called, "beat has sent the task and the worker has run it")
    assert called[0] == b'{"orders":[1,2]}'


@pytest.mark.parametrize(
    ("function_id", "error"),
    [
        ("no::such", "function_not_found: Function no::such not found"),
        ("engine::queue::drain", "function_not_found: Function engine::queue::drain not found"),
    ],
)
async def test_a_task_whose_function_fails_has_failed(
    site: Site,
    work: BackgroundWork,
    function_id: str,
    error: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The internal functions trust whoever calls them: people may not."""
    await asyncio.to_thread(invoke.apply_async, (function_id,))

    await site.until(lambda: error in caplog.text, "Celery tells of the failure")
    assert site.drained == []


async def test_health_tells_of_threads_that_broke_until_they_run_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "RESTART_S", 0.02)
    monkeypatch.setattr(publisher, "PROBE_INTERVAL_S", 0.02)
    is_broken = True

    def load() -> Celery:
        if is_broken:
            raise RuntimeError("asked for")
        return load_app()

    work = BackgroundWork(load, MEMORY_URL, site.url, None, lambda: None)
    work.start()
    failure = "RuntimeError: asked for"
    failures = {"embedded": True, "worker": failure, "beat": failure, "broker": failure}
    await site.until(lambda: work.health()["details"] == failures, "the failures are known")
    assert work.health()["status"] == "unhealthy"

    is_broken = False

    await site.until(lambda: work.health()["status"] == "healthy", "all runs again")
    work.publisher.send_drain([1])
    await site.until(lambda: site.drained == [[1]], "a drain arrives")
    assert caplog.text.count("the embedded Celery worker broke") == 1
    work.refuse()
    await work.stop(LIMIT_S)
