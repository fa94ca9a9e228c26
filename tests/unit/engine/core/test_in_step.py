"""What triggers want and what a store has: compared one step at a time, until they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.core import in_step
from engine.core.deferred import Deferred
from engine.core.errors import BackendFailed, EngineError
from engine.core.in_step import InStep, Stage
from engine.core.triggers import Trigger


class Thing(InStep[str]):
    """Says what it asks of its store, which answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.asked: list[Deferred[Any]] = []
        self.known = ""
        self.is_stopped = False

    @property
    def is_closed(self) -> bool:
        return self.is_stopped

    def is_known(self, wanted: str) -> bool:
        return wanted == self.known

    def attach(self, wanted: str) -> Deferred[str]:
        return self._ask(f"attach {wanted}")

    def on_attached(self, known: str) -> None:
        self.stage = Stage.ATTACHED
        self.known = known

    def detach(self) -> Deferred[None]:
        return self._ask("detach")

    def remove(self) -> Deferred[int]:
        return self._ask("remove")

    def on_removed(self, removed: int) -> None:
        self.said.append(f"removed {removed}")

    def on_over(self) -> None:
        self.said.append("over")

    def on_failure(self, error: Exception) -> None:
        self.said.append(f"failed: {error}")

    def _ask(self, what: str) -> Deferred[Any]:
        self.said.append(what)
        self.asked.append(Deferred())
        return self.asked[-1]

    def answer(self, value: Any) -> None:
        self.asked.pop(0).resolve(value)


def trigger(name: str) -> Trigger:
    return Trigger(name, "kind", "f")


async def turn() -> None:
    """Let the loop come to the next comparison."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture
async def thing() -> Thing:
    return Thing()


@pytest.fixture
async def attached(thing: Thing) -> Callable[[str], Trigger]:
    """Bind a trigger and let the store have what it wants."""

    def attach(wanted: str) -> Trigger:
        one = trigger("t")
        thing.bind(one, wanted)
        thing.answer(wanted)
        thing.said.clear()
        return one

    return attach


async def test_what_the_first_trigger_wants_is_asked_for_at_once(thing: Thing) -> None:
    thing.bind(trigger("t"), "a")
    assert (thing.said, thing.wanted) == (["attach a"], "a")
    thing.answer("a")
    await turn()
    assert (thing.said, thing.stage) == (["attach a"], Stage.ATTACHED)


async def test_one_thing_is_asked_at_a_time_and_the_newest_trigger_says_what(
    thing: Thing,
) -> None:
    for wanted in ("a", "b", "c"):
        thing.bind(trigger(wanted), wanted)
    assert thing.said == ["attach a"]
    thing.answer("a")
    await turn()
    assert thing.said == ["attach a", "attach c"]


@pytest.mark.parametrize(
    ("keep", "said", "stage"),
    [
        (True, ["detach", "over"], Stage.DETACHED),
        (False, ["remove", "removed 3", "over"], Stage.REMOVED),
    ],
)
async def test_the_last_trigger_decides_what_the_store_keeps(
    thing: Thing, attached: Callable[[str], Trigger], keep: bool, said: list[str], stage: Stage
) -> None:
    thing.unbind(attached("a"), keep=keep)
    assert not thing.is_settled_without_triggers
    await turn()
    thing.answer(3)
    await turn()
    assert (thing.said, thing.stage) == (said, stage)
    assert thing.is_settled_without_triggers


async def test_a_trigger_that_is_replaced_leaves_no_gap(
    thing: Thing, attached: Callable[[str], Trigger]
) -> None:
    thing.unbind(attached("a"), keep=False)
    thing.bind(trigger("t"), "a")
    await turn()
    assert thing.said == []


@pytest.mark.parametrize(
    ("error", "delay"),
    [(BackendFailed("away"), "RETRY_S"), (EngineError("no"), "REFUSED_RETRY_S")],
)
async def test_a_store_that_fails_is_asked_again(
    thing: Thing, monkeypatch: pytest.MonkeyPatch, error: Exception, delay: str
) -> None:
    for name in ("RETRY_S", "REFUSED_RETRY_S"):
        monkeypatch.setattr(in_step, name, 0.0 if name == delay else 60.0)
    thing.bind(trigger("t"), "a")
    thing.asked.pop().reject(error)
    async with asyncio.timeout(5):
        while len(thing.said) < 3:
            await asyncio.sleep(0.001)
    assert thing.said == ["attach a", f"failed: {error}", "attach a"]


async def test_a_trigger_that_comes_before_the_retry_is_asked_for_once(
    thing: Thing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_step, "RETRY_S", 0.0)
    thing.bind(trigger("t"), "a")
    thing.asked.pop().reject(BackendFailed("away"))
    thing.bind(trigger("u"), "b")
    await turn()  # the retry was due in the first one
    assert thing.said == ["attach a", "failed: away", "attach b"]


async def test_an_engine_that_stops_asks_nothing_more(
    thing: Thing, attached: Callable[[str], Trigger]
) -> None:
    one = attached("a")
    thing.unbind(one, keep=True)
    thing.is_stopped = True
    await turn()
    assert thing.said == []
