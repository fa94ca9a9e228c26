"""Tasks without Celery: the engine's own loop executes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.core.engine import Engine
from engine.core.protocol import encode
from engine.core.tasks import TaskSender


class LoopTasks(TaskSender):
    """Executes every drain in the next turn of the loop.

    Attributes:
        sent: the subscriptions of every task so far.
        is_lossy: tasks are dropped, as by a broker that dies.
    """

    def __init__(self, engine: Engine) -> None:
        self.sent: list[tuple[int, ...]] = []
        self.is_lossy = False
        self._engine = engine
        self._running: set[asyncio.Future[bytes | None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether drains are under way."""
        return bool(self._running)

    def send_drain(self, subscriptions: Sequence[int]) -> None:
        self.sent.append(tuple(subscriptions))
        if not self.is_lossy:
            asyncio.get_running_loop().call_soon(self._drain, list(subscriptions))

    def send_run_ticks(self) -> None:
        if not self.is_lossy:
            asyncio.get_running_loop().call_soon(
                self._invoke, "engine::cron::run_ticks", encode({})
            )

    def wake_clock(self) -> None:
        """Nobody: tests plan by calling `engine::cron::plan`."""

    def _drain(self, subscriptions: list[int]) -> None:
        self._invoke("engine::queue::drain", encode({"subscriptions": subscriptions}))

    def _invoke(self, function_id: str, data: bytes) -> None:
        running = self._engine.invoke_internal(function_id, data)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
