"""A coroutine that starts at once and goes on as a task."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from engine.server.first_step import start_now

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


async def test_runs_up_to_the_first_wait_at_once() -> None:
    steps: list[str] = []
    gate = asyncio.get_running_loop().create_future()

    async def work() -> None:
        steps.append("first")
        steps.append(await gate)
        await asyncio.sleep(0)
        steps.append("last")

    task = start_now(work())
    assert steps == ["first"]
    gate.set_result("second")
    await task

    assert steps == ["first", "second", "last"]


async def test_is_a_task_from_its_first_step_on() -> None:
    tasks: list[asyncio.Task[object] | None] = []

    async def work() -> None:
        tasks.append(asyncio.current_task())
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    here = asyncio.current_task()
    task = start_now(work())
    assert asyncio.current_task() is here
    await task

    assert tasks == [task, task]


async def test_has_a_context_of_its_own() -> None:
    async def work() -> None:
        seen.set("first")
        await asyncio.sleep(0)
        assert seen.get() == "first"

    task = start_now(work())
    await task

    assert seen.get() == "nothing"


async def test_may_end_in_its_first_step() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("only")

    await start_now(work())

    assert steps == ["only"]


async def test_raises_in_the_task_what_its_first_step_raised() -> None:
    async def work() -> None:
        raise LookupError("asked for")

    task = start_now(work())

    with pytest.raises(LookupError, match="asked for"):
        await task


async def test_can_be_cancelled_before_its_second_step() -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    task = start_now(work())
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["cancelled"]


async def test_can_be_cancelled_after_it_ended() -> None:
    async def work() -> None:
        raise LookupError("asked for")

    task = start_now(work())
    task.cancel()

    with pytest.raises(LookupError, match="asked for"):
        await task


async def test_works_outside_of_a_task() -> None:
    steps: list[str] = []
    done = asyncio.get_running_loop().create_future()

    async def work() -> None:
        steps.append("first")
        await asyncio.sleep(0)
        done.set_result(None)

    asyncio.get_running_loop().call_soon(lambda: steps.append(type(start_now(work())).__name__))
    await done

    assert steps == ["first", "Task"]
