"""A topic of a test's own: who subscribes to it, what is put in, what becomes of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.acceptance.sdks import Sdk
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

# What queues are called since this release, and what they were called before.
_RENAMED: Final = (0, 11, 0)


def trigger_type(sdk: Sdk) -> str:
    """Return the trigger type by which users of a version subscribe."""
    return "queue" if sdk.release < _RENAMED else "durable:subscriber"


def publisher(sdk: Sdk) -> str:
    """Return the function by which users of a version put messages in."""
    return "enqueue" if sdk.release < _RENAMED else "iii::durable::publish"


class Topic:
    """A topic, by default one that no other test uses.

    Args:
        driver: what asks the engine about it.
        name: of one that has been used before.
    """

    def __init__(self, driver: RawWorker, name: str | None = None) -> None:
        self.name = name or f"topic-{uuid.uuid4()}"
        self._driver = driver

    @contextmanager
    def subscribed(
        self, worker: WorkerProcess, config: dict[str, Any] | None = None, **queue_config: Any
    ) -> Iterator[None]:
        """Let a worker's `work` be subscribed, see `subscribe`, while the block runs."""
        self.subscribe(worker, config, **queue_config)
        yield
        self._driver.call(worker.named("unbind"), {"function_id": worker.named("work")})

    def subscribe(
        self, worker: WorkerProcess, config: dict[str, Any] | None = None, **queue_config: Any
    ) -> None:
        """Let a worker subscribe its `work` with its own SDK; return when the engine knows it.

        Args:
            worker: whose function it is.
            config: more members of the trigger's config.
            queue_config: that of the trigger, if there is any.
        """
        trigger = {"topic": self.name, **(config or {})}
        if queue_config:
            trigger["queue_config"] = queue_config
        bind = {
            "trigger_type": trigger_type(worker.sdk),
            "function_id": worker.named("work"),
            "config": trigger,
        }
        before = self.consumers
        self._driver.call(worker.named("bind"), bind)
        wait_until(lambda: self.consumers == before + 1, "the engine knows the subscription")

    @property
    def consumers(self) -> int:
        """How many subscriptions have a live worker."""
        try:
            count: int = self.stats()["consumer_count"]
        except CallFailed as error:  # nobody has ever used the topic
            if error.code != "topic_stats_failed":
                raise
            return 0
        return count

    def put(self, data: Any, **options: Any) -> Any:
        """Put in a message."""
        return self._driver.call("enqueue", {"topic": self.name, "data": data, **options})

    def stats(self) -> dict[str, Any]:
        """Return the figures of the topic."""
        stats: dict[str, Any] = self._driver.call(
            "engine::queue::topic_stats", {"topic": self.name}
        )
        return stats

    def wait_until_finished(self, limit_s: float = 10) -> None:
        """Return when no message waits or is in flight; dead letters may be there."""
        wait_until(lambda: self.stats()["depth"] == 0, f"{self.name} is empty", limit_s)

    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        letters: list[dict[str, Any]] = self._driver.call(
            "engine::queue::dlq_messages", {"topic": self.name}
        )
        return letters
