"""A worker that subscribes, enqueues and handles messages."""

from __future__ import annotations

import itertools
from typing import Any

from tests.store_engine import StoreWorker
from tests.waiting import eventually

FAST: dict[str, Any] = {"backoffDelayMs": 20}
"""A `queue_config` whose retries come soon."""


class QueueWorker(StoreWorker):
    """A worker with functions on topics; `functions` are its own."""

    _trigger_numbers = itertools.count(1)

    def subscribe(
        self,
        topic: str,
        function_id: str = "handle",
        queue_config: dict[str, Any] | None = None,
        *,
        trigger_type: str = "queue",
        trigger_id: str = "",
        **config: Any,
    ) -> str:
        """Bind a function to a topic; return the id of the trigger."""
        self.function(function_id)
        trigger_id = trigger_id or f"t{next(self._trigger_numbers)}"
        if queue_config is not None:
            config["queue_config"] = queue_config
        self.trigger(trigger_id, trigger_type, function_id, config={"topic": topic, **config})
        return trigger_id

    async def enqueue(self, topic: str, data: Any, **options: Any) -> Any:
        """Enqueue; return the result, None if there is none."""
        return await self.result("enqueue", {"topic": topic, "data": data, **options})

    async def next(self) -> dict[str, Any]:
        """Return the next invocation of a handler."""
        (event,) = await self.events(1)
        return event

    async def handle(self, *expected: Any) -> list[dict[str, Any]]:
        """Answer the next invocations with success; check that they carry this data, in order."""
        events = []
        for data in expected:
            event = await self.next()
            assert event["data"] == data
            self.reply(event, None)
            events.append(event)
        return events

    def fail(self, event: dict[str, Any], message: str = "broken", code: str = "oops") -> None:
        """Answer an invocation with an error."""
        self.error(event, {"code": code, "message": message})

    async def stats(self, queue: str, **narrow: Any) -> dict[str, Any]:
        """Return the figures of a queue."""
        found: dict[str, Any] = await self.result(
            "engine::queue::stats", {"queue": queue, **narrow}
        )
        return found

    async def until(self, queue: str, **figures: Any) -> dict[str, Any]:
        """Wait until a queue has these figures; return all of them."""
        stats: dict[str, Any] = {}

        async def has_them() -> bool:
            stats.update(await self.stats(queue))
            return all(stats[name] == value for name, value in figures.items())

        await eventually(has_them, lambda: f"{figures} in {stats}")
        return stats

    async def dead_letters(self, queue: str) -> list[dict[str, Any]]:
        """Return the dead letters of a queue."""
        found: list[dict[str, Any]] = await self.result(
            "engine::queue::dlq_messages", {"topic": queue}
        )
        return found
