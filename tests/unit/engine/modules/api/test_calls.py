"""Time limits of calls and the limit on requests at once."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.errors import InvocationFailed
from engine.modules.api.calls import CallTimedOut, Deadlines, Slots
from engine.modules.api.errors import HttpError

SHORT_S = 0.02
LONG_S = 30.0


async def settle() -> None:
    """Let everything run that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


def future() -> asyncio.Future[bytes | None]:
    return asyncio.get_running_loop().create_future()


async def test_a_future_that_is_done_in_time_gives_its_result() -> None:
    deadlines = Deadlines(LONG_S)
    call = future()
    asyncio.get_running_loop().call_soon(call.set_result, b"1")

    assert await deadlines.wait(call) == b"1"
    deadlines.close()


async def test_a_future_that_is_late_is_cancelled() -> None:
    call = future()

    with pytest.raises(CallTimedOut):
        await Deadlines(SHORT_S).wait(call)

    assert call.cancelled()


async def test_every_future_has_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(SHORT_S)

    async def timed() -> float:
        begin = loop.time()
        with pytest.raises(CallTimedOut):
            await deadlines.wait(future())
        return loop.time() - begin

    first = asyncio.create_task(timed())
    await asyncio.wait([first], timeout=SHORT_S / 2)
    second = asyncio.create_task(timed())

    assert await first >= SHORT_S * 0.9
    assert await second >= SHORT_S * 0.9


async def test_the_timer_is_armed_again_after_a_pause() -> None:
    deadlines = Deadlines(SHORT_S)
    for _ in range(2):
        with pytest.raises(CallTimedOut):
            await deadlines.wait(future())


async def test_a_call_that_is_renewed_has_the_whole_time_again() -> None:
    deadlines = Deadlines(SHORT_S)
    renewed, other = future(), future()
    deadlines.watch(renewed)
    deadlines.watch(other)

    deadlines.renew(renewed)
    await asyncio.gather(renewed, other, return_exceptions=True)
    assert (renewed.cancelled(), other.cancelled()) == (True, True)
    deadlines.renew(renewed)

    assert not deadlines.is_met(renewed), "a call that is over is not watched again"


async def test_a_future_that_somebody_else_cancels_is_a_stopped_call() -> None:
    deadlines = Deadlines(LONG_S)
    call = future()
    waiting = asyncio.create_task(deadlines.wait(call))
    await settle()

    call.cancel()

    with pytest.raises(InvocationFailed, match="invocation_stopped"):
        await waiting
    deadlines.close()


async def test_a_cancelled_request_stays_cancelled() -> None:
    deadlines = Deadlines(LONG_S)
    call = future()
    waiting = asyncio.create_task(deadlines.wait(call))
    await settle()

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.cancelled()
    deadlines.close()


async def test_a_step_that_is_late_leaves_the_task_alive() -> None:
    with pytest.raises(CallTimedOut):
        await Deadlines(SHORT_S).step(asyncio.Event().wait())

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancelled_step_stays_cancelled() -> None:
    deadlines = Deadlines(LONG_S)
    waiting = asyncio.create_task(deadlines.step(asyncio.Event().wait()))
    await settle()

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    deadlines.close()


async def test_a_step_in_time_gives_its_result() -> None:
    async def answer() -> int:
        return 7

    deadlines = Deadlines(LONG_S)
    assert await deadlines.step(answer()) == 7
    deadlines.close()


async def test_slots_go_to_whoever_waits_longest() -> None:
    deadlines = Deadlines(LONG_S)
    slots = Slots(1, deadlines)
    assert slots.take()
    order: list[int] = []

    async def wait(number: int) -> None:
        await slots.wait()
        order.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in (1, 2)]
    await settle()
    slots.release()
    await settle()
    assert order == [1]
    assert not slots.take()
    slots.release()
    await asyncio.gather(*waiting)

    assert order == [1, 2]
    slots.release()
    assert slots.take()
    deadlines.close()


async def test_a_slot_that_is_not_free_in_time_is_503() -> None:
    slots = Slots(1, Deadlines(SHORT_S))
    slots.take()

    with pytest.raises(HttpError) as error:
        await slots.wait()

    assert (error.value.status, error.value.error_code) == (503, "overloaded")
    slots.release()
    assert slots.take()


async def test_a_slot_given_to_a_request_that_was_cancelled_is_not_lost() -> None:
    deadlines = Deadlines(LONG_S)
    slots = Slots(1, deadlines)
    slots.take()
    waiting = asyncio.create_task(slots.wait())
    await settle()

    slots.release()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slots.take()
    deadlines.close()
