"""Whatever is done to them in whatever order, a database and the memory store give the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connections
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.modules.queue.adapters.base import (
    Chosen,
    Delivery,
    NewMessage,
    Outcome,
    Policy,
    QueueKind,
    QueueName,
    QueueStore,
    Returned,
)
from engine.modules.queue.adapters.database import DatabaseQueueStore
from engine.modules.queue.adapters.memory import MemoryQueueStore
from kv.stores.database import Database
from tests.queue_stores import Clock, done, failed

EXAMPLES = {"sqlite": 40, "postgres": 10}

FUNCTIONS = ("f", "g")

POLICIES = (Policy(), Policy(is_fifo=True), Policy(delay_ms=30), Policy(is_fifo=True, delay_ms=30))

functions = st.sampled_from(FUNCTIONS)

STEPS = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from([0, 0, 40]),
        st.sampled_from(["", "", "", "k"]),
    ),
    st.tuples(
        st.just("turn"),
        functions,
        st.integers(0, 5),
        st.lists(st.sampled_from(["done", "retry", "dead", "return", "keep"]), max_size=5),
    ),
    st.tuples(st.just("wait"), st.sampled_from([10, 50])),
    st.tuples(st.just("subscribe"), functions, st.sampled_from(POLICIES)),
    st.tuples(st.just("detach"), functions),
    st.tuples(st.just("unsubscribe"), functions),
    st.tuples(st.just("distribute")),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("redrive"), st.sampled_from([None, 1])),
    st.tuples(st.just("discard"), st.sampled_from([1])),
)

_topics = itertools.count(1)


class Case:
    """One store, and what a run of steps has brought so far."""

    def __init__(self, store: QueueStore, topic: QueueName) -> None:
        self._store = store
        self._topic = topic
        self._ids: dict[str, int] = {}
        self._held: dict[str, list[Delivery]] = {name: [] for name in FUNCTIONS}
        self._messages = itertools.count(1)

    async def take(self, step: tuple[Any, ...], now: int) -> Any:
        """Take a step; return what is to be seen of it."""
        store, topic = self._store, self._topic
        match step:
            case "put", group, delay_ms, key:
                message = NewMessage(
                    f"m{next(self._messages)}",
                    topic,
                    b"1",
                    group=group,
                    run_at_ms=now + delay_ms if delay_ms else 0,
                    idempotency_key=key,
                )
                receipt = await store.enqueue(message, lambda receipt: receipt)
                return receipt.message_id, receipt.is_duplicate, len(receipt.subscriptions)
            case "turn", name, limit, fates:
                return await self._turn(name, limit, fates, now)
            case "subscribe", name, policy:
                self._ids[name] = (await store.subscribe(topic, name, policy)).id
            case "detach", name if name in self._ids:
                await store.detach(self._ids[name])
            case "unsubscribe", name if name in self._ids:
                self._held[name] = []
                return await store.unsubscribe(self._ids.pop(name))
            case ("distribute",):
                return len(await store.distribute(topic))
            case "pause", is_paused:
                return len(await store.set_paused(topic, is_paused))
            case "redrive", limit:
                return (await store.redrive(topic, Chosen(limit=limit)))[0]
            case "discard", limit:
                return await store.discard(topic, Chosen(limit=limit))
        return None

    async def _turn(self, name: str, limit: int, fates: Sequence[str], now: int) -> Any:
        if name not in self._ids:
            return None
        outcomes: list[Outcome] = []
        kept: list[Delivery] = []
        for delivery, fate in itertools.zip_longest(
            self._held[name], fates[: len(self._held[name])]
        ):
            match fate:
                case "done":
                    outcomes.append(done(delivery))
                case "retry":
                    outcomes.append(failed(delivery, now + 20))
                case "dead":
                    outcomes.append(failed(delivery, None))
                case "return":
                    outcomes.append(Returned(delivery.id, delivery.attempt))
                case _:
                    kept.append(delivery)
        turn = await self._store.turn(self._ids[name], outcomes, limit)
        self._held[name] = [*kept, *turn.claimed]
        return [(each.message_id, each.attempt) for each in turn.claimed], turn.lost

    async def picture(self) -> Any:
        """Return the figures and the dead letters as they are to be seen."""
        letters = await self._store.dead_letters(self._topic, 0, 100)
        stats = await self._store.stats(self._topic)
        figures = (
            None
            if stats is None
            else (
                # A delayed message behind its group may be counted as either.
                stats.waiting + stats.delayed,
                stats.in_flight,
                stats.dead,
                stats.delivered,
                stats.failed,
                stats.subscribers,
                stats.is_paused,
            )
        )
        if figures is not None and not any(figures):
            figures = None  # an empty queue goes at once, or with the next sweep
        return figures, [(each.message_id, each.function_id, each.attempts) for each in letters]


async def run(steps: Sequence[tuple[Any, ...]], alias: str, clock: Clock) -> None:
    """Take the same steps on both stores, and compare all that is to be seen."""
    is_sqlite = connections.settings[alias]["ENGINE"].endswith("sqlite3")
    database = Database.open(is_sqlite=is_sqlite, description="test", alias=alias)
    database.start()
    store = DatabaseQueueStore(database)
    await store.start()
    # A topic of its own for each run: the tables are those of the runs before.
    topic = QueueName(QueueKind.TOPIC, f"topic-{next(_topics)}")
    memory, rows = Case(MemoryQueueStore(), topic), Case(store, topic)
    for step in steps:
        if step[0] == "wait":
            clock.now += step[1]
            continue
        expected = await memory.take(step, clock.now)
        assert await rows.take(step, clock.now) == expected, step
        assert await rows.picture() == await memory.picture(), step
    await database.stop()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_any_steps_give_the_same(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias: str = request.getfixturevalue(f"{kind}_alias")
    clock = Clock(monkeypatch)

    @settings(max_examples=EXAMPLES[kind], deadline=None)
    @given(st.lists(STEPS, min_size=10, max_size=40))
    def examine(steps: list[tuple[Any, ...]]) -> None:
        asyncio.run(run(steps, alias, clock))

    examine()
