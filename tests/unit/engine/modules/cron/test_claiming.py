"""When tasks are sent, and when the store is asked for due ticks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from engine.core import tasks as core_tasks
from engine.core.deferred import Deferred
from engine.modules.cron import claiming as claiming_module
from engine.modules.cron.claiming import Claiming, TickTaker
from engine.modules.cron.records import ClaimedTick, Claims
from kv.stores.executor import StoreUnavailable
from tests.unit.engine.modules.cron.scripted import CountedTasks, ScriptedStore, schedule, tick


class Taker(TickTaker):
    """Takes what is claimed."""

    def __init__(self) -> None:
        self.taken: list[ClaimedTick] = []
        self.most = 1_000

    @property
    def has_room(self) -> bool:
        return len(self.taken) < self.most

    def take(self, ticks: Sequence[ClaimedTick]) -> None:
        self.taken += ticks


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def tasks() -> CountedTasks:
    return CountedTasks()


@pytest.fixture
async def claiming(store: ScriptedStore, taker: Taker, tasks: CountedTasks) -> Claiming:
    return Claiming(store, taker, lambda function_id, namespace: True, tasks)


def answer(store: ScriptedStore, count: int = 0, *, has_more: bool = False) -> None:
    of = schedule()
    store.claims.pop(0).resolve(Claims([tick(of) for _ in range(count)], has_more))


def test_a_task_is_answered_when_all_is_claimed(
    claiming: Claiming, store: ScriptedStore, taker: Taker
) -> None:
    asked = claiming.run_ticks()
    answer(store, 2, has_more=True)
    assert not asked.is_done
    answer(store, 1)
    assert (asked.value, len(taker.taken)) == (b'{"claimed":3}', 3)


def test_tasks_that_come_during_a_claim_share_the_next_one(
    claiming: Claiming, store: ScriptedStore
) -> None:
    first, second, third = (claiming.run_ticks() for _ in range(3))
    assert len(store.claims) == 1
    answer(store, 1)
    assert (first.is_done, second.is_done, len(store.claims)) == (True, False, 1)
    answer(store, 2)
    assert (second.value, third.value) == (b'{"claimed":2}', b'{"claimed":2}')


def test_what_is_wanted_is_one_task_until_it_comes(
    claiming: Claiming, store: ScriptedStore, tasks: CountedTasks
) -> None:
    claiming.want()
    claiming.want()
    assert tasks.asked == 1
    claiming.run_ticks()
    answer(store)
    claiming.want()
    assert tasks.asked == 2


def test_what_is_wanted_during_a_claim_is_claimed_after_it_without_a_task(
    claiming: Claiming, store: ScriptedStore, tasks: CountedTasks
) -> None:
    claiming.run_ticks()
    claiming.want()
    answer(store)
    assert (tasks.asked, len(store.claims)) == (0, 1)
    answer(store)
    assert store.claims == []


def test_a_task_that_does_not_come_is_sent_again_with_more_patience_each_time(
    claiming: Claiming, tasks: CountedTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_tasks, "LOST_AFTER_S", -1.0)
    sent = []
    for _ in range(3):
        claiming.want()
        sent.append(tasks.asked)
    monkeypatch.setattr(core_tasks, "LOST_AFTER_S", 2.0)
    claiming.want()
    assert (sent, tasks.asked) == ([1, 2, 3], 3)


def test_a_claim_that_fails_is_told_to_its_tasks_and_not_repeated(
    claiming: Claiming, store: ScriptedStore
) -> None:
    asked = claiming.run_ticks()
    claiming.want()
    store.claims.pop().reject(StoreUnavailable("away"))
    assert isinstance(asked.error, StoreUnavailable)
    assert store.claims == []


def test_nothing_is_claimed_beyond_the_room(
    claiming: Claiming, store: ScriptedStore, taker: Taker
) -> None:
    taker.most = 2
    asked = claiming.run_ticks()
    answer(store, 2, has_more=True)
    assert (asked.value, store.claims) == (b'{"claimed":2}', [])


def test_nothing_is_claimed_after_the_end(
    claiming: Claiming, store: ScriptedStore, tasks: CountedTasks
) -> None:
    asked: Deferred[bytes] = claiming.run_ticks()
    claiming.run_ticks()
    claiming.close()
    answer(store, 1, has_more=True)
    claiming.want()
    assert (asked.value, store.claims, tasks.asked) == (b'{"claimed":1}', [], 0)


async def test_a_stopping_engine_waits_for_the_claim_that_is_under_way(
    claiming: Claiming, store: ScriptedStore, taker: Taker
) -> None:
    await claiming.finish()
    claiming.run_ticks()
    claiming.close()
    finished = asyncio.create_task(claiming.finish())
    await asyncio.sleep(0)
    answer(store, 1)
    await finished
    assert len(taker.taken) == 1


async def test_a_claim_that_is_never_answered_does_not_hold_up_the_end(
    claiming: Claiming, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claiming_module, "FINISH_S", 0.02)
    claiming.run_ticks()
    await claiming.finish()
    assert caplog.messages == [
        "due ticks may have been claimed and not begun: they are interrupted"
    ]
