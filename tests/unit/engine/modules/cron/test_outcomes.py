"""Outcomes share commits, wait for the store, and are told to whoever waits for them."""

from __future__ import annotations

import asyncio

import pytest

from engine.modules.cron import outcomes as outcomes_module
from engine.modules.cron.outcomes import Outcomes
from engine.modules.cron.records import Ended, TickState
from tests.unit.engine.modules.cron.scripted import ScriptedStore


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
async def outcomes(store: ScriptedStore) -> Outcomes:
    return Outcomes(store)


def done(tick: int) -> Ended:
    return Ended(tick, 1, TickState.DONE, 0)


async def test_outcomes_that_come_soon_after_another_share_a_commit(
    outcomes: Outcomes, store: ScriptedStore
) -> None:
    told: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
    outcomes.watch(3, told.set_result)
    for each in (1, 2, 3):
        outcomes.add(done(each))
    assert await asyncio.wait_for(told, 5) == done(3)
    assert store.finished == [[done(1), done(2), done(3)]]


async def test_many_go_in_several_commits(outcomes: Outcomes, store: ScriptedStore) -> None:
    for each in range(outcomes_module.MOST_AT_ONCE + 1):
        outcomes.add(done(each))
    await outcomes.flush()
    assert [len(batch) for batch in store.finished] == [outcomes_module.MOST_AT_ONCE, 1]


async def test_outcomes_wait_for_a_store_that_is_away(
    outcomes: Outcomes, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    outcomes.add(done(1))
    outcomes.release(2)
    flushed = asyncio.create_task(outcomes.flush())
    async with asyncio.timeout(5):
        while not caplog.messages:
            await asyncio.sleep(0.001)
    outcomes.add(done(3))
    store.is_away = False
    await flushed
    assert (store.finished, store.released) == ([[done(1), done(3)]], [2])
    assert caplog.messages == ["outcomes of ticks wait for the store: away"]


async def test_ticks_that_are_given_back_wait_for_the_store_too(
    outcomes: Outcomes, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.is_away = True
    outcomes.release(1)
    flushed = asyncio.create_task(outcomes.flush())
    async with asyncio.timeout(5):
        while not caplog.messages:
            await asyncio.sleep(0.001)
    store.is_away = False
    await flushed
    assert store.released == [1]


async def test_outcomes_that_come_too_late_are_told(
    outcomes: Outcomes, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store.late = 1
    outcomes.add(done(1))
    await outcomes.flush()
    assert caplog.messages == ["1 outcomes came too late: their ticks were ended before"]


async def test_a_stopping_engine_does_not_wait_for_ever(
    outcomes: Outcomes,
    store: ScriptedStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(outcomes_module, "FLUSH_S", 0.05)
    store.is_away = True
    outcomes.add(done(1))
    await outcomes.flush()
    assert caplog.messages[-1] == "what became of 1 ticks could not be stored"


async def test_whoever_waits_no_longer_is_told_nothing(
    outcomes: Outcomes, store: ScriptedStore
) -> None:
    told: list[Ended] = []
    outcomes.watch(1, told.append)
    outcomes.watch(1, print)
    outcomes.unwatch(1, told.append)
    outcomes.unwatch(1, print)
    outcomes.unwatch(2, print)
    outcomes.add(done(1))
    await outcomes.flush()
    assert (told, len(store.finished)) == ([], 1)
