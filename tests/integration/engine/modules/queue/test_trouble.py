"""Everything goes wrong at once: every message is handled all the same, in order where promised."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.core import tasks as core_tasks
from engine.core.tasks import TaskSender
from engine.modules.queue import drains
from tests.integration.engine.modules.queue.support import QueueWorker
from tests.queue_engine import LoopTasks
from tests.store_engine import Setting
from tests.waiting import eventually

SEED = 1
GROUPS = 7
MESSAGES = 150
CONCURRENCY = 4


class Trouble:
    """Workers that fail, leave and come back, tasks that are lost, queues that are paused."""

    def __init__(self, setting: Setting, queue_config: dict[str, Any]) -> None:
        tasks = setting.engine.service(TaskSender)  # type: ignore[type-abstract]
        assert isinstance(tasks, LoopTasks)
        self.tasks = tasks
        self.setting = setting
        self.random = random.Random(SEED)
        self.queue_config = {
            "backoffDelayMs": 5,
            "maxRetries": 1_000,
            "concurrency": CONCURRENCY,
            **queue_config,
        }
        self.administrator = QueueWorker(setting.engine)
        self.worker = self.come()
        self.running: list[dict[str, Any]] = []
        self.succeeded: list[tuple[str, int]] = []

    def come(self) -> QueueWorker:
        worker = QueueWorker(self.setting.engine)
        worker.subscribe("orders", queue_config=self.queue_config)
        return worker

    def leave(self) -> None:
        self.worker.leave()
        self.running.clear()
        self.worker = self.come()

    async def step(self) -> bool:
        """Do something; return whether all has been handled."""
        self.running += [each for each in self.worker.take() if each["type"] == "invokefunction"]
        assert len(self.running) <= CONCURRENCY
        dice = self.random.random()
        if dice < 0.005:
            self.leave()
        elif dice < 0.01:
            self.tasks.is_lossy = not self.tasks.is_lossy
        elif dice < 0.015:
            action = self.random.choice(["pause", "resume", "resume"])
            self.administrator.void(f"engine::queue::{action}", {"queue": "orders"})
        elif self.running:
            event = self.running.pop(self.random.randrange(len(self.running)))
            if self.random.random() < 0.2:
                self.worker.fail(event)
            else:
                self.worker.reply(event, None)
                self.succeeded.append((event["data"]["group"], event["data"]["n"]))
        return len(set(self.succeeded)) == MESSAGES

    async def come_to_an_end(self) -> None:
        self.tasks.is_lossy = False
        self.administrator.void("engine::queue::resume", {"queue": "orders"})

        async def is_empty() -> bool:
            await self.step()
            return bool((await self.administrator.stats("orders"))["depth"] == 0)

        await eventually(is_empty, lambda: "an empty queue")


@pytest.mark.parametrize("queue_config", [{"type": "fifo"}, {"type": "standard"}])
async def test_every_message_is_handled(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, queue_config: dict[str, Any]
) -> None:
    monkeypatch.setattr(core_tasks, "LOST_AFTER_S", 0.02)
    monkeypatch.setattr(drains, "SLICE_S", 0.02)
    trouble = Trouble(setting, queue_config)
    sent: list[tuple[str, int]] = []

    async def goes_on() -> bool:
        if len(sent) < MESSAGES:
            message = {"group": f"g{len(sent) % GROUPS}", "n": len(sent)}
            sent.append((message["group"], message["n"]))  # type: ignore[arg-type]
            trouble.administrator.void(
                "enqueue", {"topic": "orders", "data": message, "message_group": message["group"]}
            )
        return await trouble.step()

    await eventually(goes_on, lambda: f"all of {len(set(trouble.succeeded))}")
    await trouble.come_to_an_end()
    assert sorted(set(trouble.succeeded)) == sorted(sent)
    if queue_config["type"] == "fifo":
        for group in {group for group, _ in sent}:
            order = [n for each, n in trouble.succeeded if each == group]
            assert order == sorted(order)  # one may come twice, in its place
