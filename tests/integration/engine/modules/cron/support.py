"""An engine with the cron module, a clock that plans for it, and workers with schedules."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from engine.core.engine import Engine
from engine.core.tasks import TaskSender
from engine.modules.cron.module import CronModule
from engine.modules.cron.records import LEAD_MS
from kv.clock import now_ms
from tests.store_engine import StoreWorker, running_setting
from tests.waiting import eventually

EVERY_SECOND = "* * * * * * *"
NEVER = "0 0 0 1 1 * 2100"
"""Not in the time of any test."""

LONGEST_WAIT_S = 0.1
"""How long the clock waits at most: it hears of changes by looking."""


class Clock:
    """Plans what is due and asks the engine to run it, as beat does.

    Args:
        engine: whose schedules.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        tasks = self._engine.service(TaskSender)  # type: ignore[type-abstract]
        while True:
            planned = await plan(self._engine)
            if planned["ticks"]:
                tasks.send_run_ticks()
            next_due_at = planned["next_due_at"]
            wait_s = LONGEST_WAIT_S
            if next_due_at is not None:
                wait_s = min(wait_s, max(0.0, (next_due_at - LEAD_MS - now_ms()) / 1_000))
            await asyncio.sleep(wait_s)


async def plan(engine: Engine) -> dict[str, Any]:
    """Have a look at the clock; return what it has brought."""
    answer = await engine.invoke_internal("engine::cron::plan", b"{}")
    assert answer is not None
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


async def run_ticks(engine: Engine) -> int:
    """Let the engine claim what is due; return how many it has claimed."""
    answer = await engine.invoke_internal("engine::cron::run_ticks", b"{}")
    assert answer is not None
    claimed: int = msgspec.json.decode(answer)["claimed"]
    return claimed


async def internal(engine: Engine, name: str, arguments: dict[str, Any]) -> Any:
    """Call an internal function of the module; return its result."""
    answer = await engine.invoke_internal(f"engine::cron::{name}", msgspec.json.encode(arguments))
    return None if answer is None else msgspec.json.decode(answer)


class CronWorker(StoreWorker):
    """A worker with schedules."""

    _numbers = itertools.count(1)

    def schedule(
        self,
        expression: str = EVERY_SECOND,
        function_id: str = "handle",
        *,
        trigger_id: str = "",
        metadata: dict[str, Any] | None = None,
        **config: Any,
    ) -> str:
        """Bind a function to an expression; return the id of the trigger."""
        self.function(function_id)
        trigger_id = trigger_id or f"t{next(self._numbers)}"
        rest = {} if metadata is None else {"metadata": metadata}
        self.trigger(
            trigger_id,
            "cron",
            function_id,
            config={"expression": expression, **config},
            **rest,
        )
        return trigger_id

    async def next(self) -> dict[str, Any]:
        """Return the next call of a function."""
        (event,) = await self.events(1)
        return event

    async def handle(self, count: int) -> list[dict[str, Any]]:
        """Answer the next calls with success, each as it comes; return them."""
        events = []
        for _ in range(count):
            events.append(await self.next())
            self.reply(events[-1], None)
        return events

    async def ask(self, name: str, **arguments: Any) -> Any:
        """Call a function of the module."""
        return await self.result(f"engine::cron::{name}", arguments)

    async def schedules(self, **narrow: Any) -> list[dict[str, Any]]:
        """Return the schedules that there are."""
        found: list[dict[str, Any]] = (await self.ask("list", **narrow))["schedules"]
        return found

    async def only_schedule(self) -> dict[str, Any]:
        """Return the one schedule, as soon as the store has it."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            found[:] = await self.schedules()
            return bool(found)

        await eventually(is_there, lambda: "a schedule")
        (schedule,) = found
        return schedule

    async def until_state(self, state: str, schedule_id: str = "") -> dict[str, Any]:
        """Wait until the schedule is in a state; return it."""
        last: dict[str, Any] = {}

        async def is_so() -> bool:
            found = await self.schedules(search=schedule_id)
            last.update(found[0] if found else {})
            return last.get("state") == state

        await eventually(is_so, lambda: f"{state} in {last}")
        return last

    async def ticks(self, **narrow: Any) -> list[dict[str, Any]]:
        """Return the ticks, oldest first."""
        found: list[dict[str, Any]] = (await self.ask("ticks", **narrow))["ticks"]
        return found[::-1]

    async def tick(self, **members: Any) -> dict[str, Any]:
        """Wait for a tick with these members; return the oldest one."""
        found: list[dict[str, Any]] = []
        seen: list[dict[str, Any]] = []

        async def is_there() -> bool:
            seen[:] = await self.ticks()
            found[:] = [each for each in seen if members.items() <= each.items()]
            return bool(found)

        await eventually(is_there, lambda: f"{members} in {seen}")
        return found[0]


@asynccontextmanager
async def running_engine(
    place: tuple[str, str], *, has_clock: bool = True, **options: Any
) -> AsyncIterator[Engine]:
    """Run an engine with the cron module.

    Args:
        place: the kind of its database and the alias of it.
        has_clock: whether something plans.
        options: of the module.
    """
    async with running_setting(place, (CronModule, options)) as setting:
        clock = Clock(setting.engine) if has_clock else None
        yield setting.engine
        if clock is not None:
            await clock.stop()
