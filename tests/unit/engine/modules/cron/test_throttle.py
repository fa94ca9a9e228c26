"""A limited number is under way; the others wait in their order."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.deferred import Deferred
from engine.modules.cron.throttle import Throttle


class Work:
    """Begins and ends what the test says."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.asked: dict[int, Deferred[int]] = {}

    def begin(self, number: int) -> Deferred[int]:
        self.begun.append(number)
        self.asked[number] = Deferred()
        return self.asked[number]


@pytest.fixture
def work() -> Work:
    return Work()


async def test_no_more_than_the_limit_are_under_way(work: Work) -> None:
    throttle = Throttle(2)
    outcomes = [throttle.run(lambda number=number: work.begin(number)) for number in range(5)]  # type: ignore[misc]
    assert work.begun == [0, 1]
    work.asked[1].resolve(10)
    work.asked[0].resolve(20)
    assert [outcome.is_done for outcome in outcomes] == [True, True, False, False, False]
    await asyncio.sleep(0)
    assert work.begun == [0, 1, 2, 3]
    assert (outcomes[0].value, outcomes[1].value) == (20, 10)


async def test_a_failure_makes_room_like_a_success(work: Work) -> None:
    throttle = Throttle(1)
    outcomes = [throttle.run(lambda number=number: work.begin(number)) for number in range(2)]  # type: ignore[misc]
    error = RuntimeError("no")
    work.asked[0].reject(error)
    await asyncio.sleep(0)
    work.asked[1].resolve(1)
    assert (outcomes[0].error, outcomes[1].value) == (error, 1)
