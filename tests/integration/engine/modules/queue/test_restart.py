"""What outlives an engine: messages, subscriptions, what was in flight (modules.md M135)."""

from __future__ import annotations

import pytest

from engine.modules.queue.config import NamedQueueConfig
from engine.modules.queue.module import QueueModule
from tests.integration.engine.modules.queue.support import FAST, QueueWorker
from tests.store_engine import running_setting


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    return str(request.param), request.getfixturevalue(f"{request.param}_alias")


async def test_waiting_messages_are_delivered_after_a_restart(place: tuple[str, str]) -> None:
    """M135."""
    async with running_setting(place, (QueueModule, {})) as setting:
        worker = QueueWorker(setting.engine)
        worker.subscribe("orders", queue_config={**FAST, "concurrency": 1})
        await worker.until("orders", consumer_count=1)
        for number in range(3):
            await worker.enqueue("orders", number)
        await worker.handle(0)
        await worker.until("orders", delivered=1)
    async with running_setting(place, (QueueModule, {})) as setting:
        worker = QueueWorker(setting.engine)
        stats = await worker.stats("orders")
        assert (stats["depth"], stats["consumer_count"]) == (2, 0)
        worker.subscribe("orders", queue_config={**FAST, "concurrency": 1})
        events = await worker.events(1)
        worker.reply(events[0], None)
        events += await worker.events(1)
        assert sorted(each["data"] for each in events) == [1, 2]


async def test_a_subscription_receives_though_its_worker_is_not_back_yet(
    place: tuple[str, str],
) -> None:
    async with running_setting(place, (QueueModule, {})) as setting:
        worker = QueueWorker(setting.engine)
        worker.subscribe("orders", "first")
        worker.subscribe("orders", "second")
        await worker.until("orders", consumer_count=2)
    async with running_setting(place, (QueueModule, {})) as setting:
        worker = QueueWorker(setting.engine)
        worker.subscribe("orders", "first")
        await worker.enqueue("orders", 1)
        await worker.handle(1)
        worker.subscribe("orders", "second")
        (event,) = await worker.handle(1)
        assert event["function_id"] == "second"


async def test_queued_calls_are_made_after_a_restart(place: tuple[str, str]) -> None:
    options = {"queue_configs": {"jobs": NamedQueueConfig(backoff_ms=20)}}
    async with running_setting(place, (QueueModule, options)) as setting:
        worker = QueueWorker(setting.engine)
        await worker.result("engine::queue::pause", {"queue": "jobs"})
        worker.send(
            "invokefunction", function_id="f", data=1, action={"type": "enqueue", "queue": "jobs"}
        )
        await worker.until("jobs", waiting=1)
    async with running_setting(place, (QueueModule, options)) as setting:
        worker = QueueWorker(setting.engine)
        worker.function("f")
        assert (await worker.stats("jobs"))["paused"]
        await worker.result("engine::queue::resume", {"queue": "jobs"})
        await worker.handle(1)


async def test_a_queue_that_is_configured_no_longer_keeps_what_waits(
    place: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    options = {"queue_configs": {"jobs": NamedQueueConfig(max_retries=1)}}
    async with running_setting(place, (QueueModule, options)) as setting:
        worker = QueueWorker(setting.engine)
        worker.send(
            "invokefunction", function_id="f", data=1, action={"type": "enqueue", "queue": "jobs"}
        )
        await worker.until("jobs", dlq_depth=1)
    async with running_setting(place, (QueueModule, {})) as setting:
        assert "queue `jobs` is not in `queue_configs` any more" in caplog.text
        worker = QueueWorker(setting.engine)
        (letter,) = await worker.dead_letters("jobs")
        assert letter["function_id"] == "f"
