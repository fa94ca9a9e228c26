"""Messages as rows: restarts, the outbox, several engines on one PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import pytest
import pytest_asyncio
from django.db import OperationalError, connections

from engine.models import NODE_LEASE, OutboxMessage, QueueSubscription
from engine.modules.queue.adapters.base import Chosen, Delivery, NewMessage, Outcome, Policy
from engine.modules.queue.adapters.database import DatabaseQueueStore
from engine.modules.queue.adapters.outbox import TAKEN_AT_ONCE
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from kv.stores.executor import StoreUnavailable
from tests.nodes import write_node
from tests.queue_stores import (
    FIFO,
    OTHER,
    STANDARD,
    TOPIC,
    claim,
    done,
    failed,
    kill,
    put,
    subscribe,
    values,
)

LIMIT_S = 20.0


class Node(DatabaseQueueStore):
    """The store of one engine, which says that it lives if it is told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database

    async def live(self, age_s: float = 0.0) -> None:
        """Write the row of this engine, as last seen some time ago."""
        await write_node(self.database, age_s=age_s)

    async def row(self, subscription: int) -> QueueSubscription:
        alias = self.database.writer.alias
        return await self.database.writer.query(
            lambda _: QueueSubscription.objects.using(alias).get(id=subscription)
        )


@asynccontextmanager
async def running(alias: str) -> AsyncIterator[Node]:
    is_sqlite = connections.settings[alias]["ENGINE"].endswith("sqlite3")
    database = Database.open(is_sqlite=is_sqlite, description="test", alias=alias)
    database.start()
    node = Node(database)
    await node.start()
    yield node
    await database.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def alias(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_alias")
    return found


@pytest_asyncio.fixture
async def nodes(postgres_alias: str) -> AsyncIterator[tuple[Node, Node]]:
    """Two engines that live, on one PostgreSQL."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(running(postgres_alias)) for _ in range(2)]
        for node in found:
            await node.live()
        yield found[0], found[1]


# --- restarts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [STANDARD, FIFO])
async def test_what_was_in_flight_at_a_crash_is_due_again(alias: str, policy: Policy) -> None:
    async with running(alias) as store:
        await store.live(age_s=60)
        subscription = await subscribe(store, policy=policy)
        for text in ("1", "2", "3"):
            await put(store, text)
        former = await claim(store, subscription, 2)
    async with running(alias) as store:
        (known,) = await store.start()
        assert (known.id, known.policy, known.is_attached) == (subscription, policy, False)
        assert await claim(store, subscription) == []
        assert await subscribe(store, policy=policy) == subscription
        assert (await store.due()).subscriptions == (subscription,)
        again = await claim(store, subscription)
        assert [each.attempt for each in again] == ([2, 2, 1] if policy is STANDARD else [2])
        turn = await store.turn(subscription, [done(each) for each in former], 0)
        assert turn.lost == len(former)
        await put(store, "4")
        texts = values(again)
        while again:
            turn = await store.turn(subscription, [done(each) for each in again], 10)
            again = list(turn.claimed)
            texts += values(again)
        assert texts == ["1", "2", "3", "4"]


async def test_figures_dead_letters_and_pauses_outlive_a_restart(alias: str) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store)
        await put(store)
        await kill(store, subscription, "why")
        await store.set_paused(OTHER, True)
    async with running(alias) as store:
        topic, other = sorted(await store.queues(), key=lambda stats: stats.name)
        assert (topic.name, topic.dead, topic.failed, topic.subscribers) == (TOPIC, 1, 1, 0)
        assert (other.name, other.is_paused) == (OTHER, True)
        (letter,) = await store.dead_letters(TOPIC, 0, 10)
        assert letter.error == "why"
        # Known though its worker has not come back: messages are kept for it.
        assert (await put(store)).subscriptions == (subscription,)


async def test_what_a_backup_says_is_in_flight_is_due(alias: str) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store)
        await put(store)
        await claim(store, subscription)
        await store.database.writer.run(
            lambda _: QueueSubscription.objects.using(alias).update(holder=None)
        )
    async with running(alias) as store:
        await subscribe(store)
        assert len(await claim(store, subscription)) == 1


async def test_a_message_that_the_database_refuses_fails_alone(alias: str) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store)
        messages = [NewMessage(f"m{number}", TOPIC, b"1") for number in range(20)]
        messages[7] = NewMessage("m7", TOPIC, b"1", run_at_ms=2**70)
        answers = await asyncio.gather(
            *(store.enqueue(message, lambda receipt: receipt) for message in messages),
            return_exceptions=True,
        )
        assert [isinstance(answer, Exception) for answer in answers] == [
            number == 7 for number in range(20)
        ]
        claimed = await claim(store, subscription)
        assert [each.message_id for each in claimed] == [
            message.id for number, message in enumerate(messages) if number != 7
        ]


@pytest.mark.parametrize("policy", [STANDARD, FIFO])
async def test_what_a_commit_has_claimed_whose_answer_was_lost_is_claimed_again(
    alias: str, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store, policy=policy)
        await put(store, "1", group="a")
        (known,) = await claim(store, subscription)
        await put(store, "2", group="b")
        with monkeypatch.context() as context:
            execute = StoreConnection.execute

            def lose_answer(
                self: StoreConnection, sql: str, parameters: tuple[object, ...] = ()
            ) -> int:
                changed = execute(self, sql, parameters)
                if sql == "COMMIT":
                    raise OperationalError("the connection is gone")
                return changed

            context.setattr(StoreConnection, "execute", lose_answer)
            with pytest.raises(StoreUnavailable):
                await claim(store, subscription)
        stats = await store.stats(TOPIC)
        assert stats is not None
        assert stats.in_flight == 2
        assert (await store.due()).subscriptions == (subscription,)
        turn = await store.turn(subscription, [done(known)], 10)
        assert [(each.data, each.attempt) for each in turn.claimed] == [(b"2", 1)]
        assert (turn.lost, (await store.due()).subscriptions) == (0, ())
        turn = await store.turn(subscription, [done(each) for each in turn.claimed], 10)
        assert turn.lost == 0


async def test_only_what_must_outlive_a_power_cut_waits_for_the_disk(
    sqlite_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(sqlite_alias) as store:
        subscription = await subscribe(store)
        await put(store)
        told: list[str] = []
        execute = StoreConnection.execute

        def listen(self: StoreConnection, sql: str, parameters: tuple[object, ...] = ()) -> int:
            told.append(sql)
            return execute(self, sql, parameters)

        monkeypatch.setattr(StoreConnection, "execute", listen)
        deliveries = await claim(store, subscription)
        assert (told[0], told[-1]) == ("PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL")
        told.clear()
        await store.turn(subscription, [done(each) for each in deliveries], 10)
        assert (told[0], told[-1]) == ("BEGIN IMMEDIATE", "COMMIT")


# --- the outbox -----------------------------------------------------------------------------------


def write_outbox(alias: str, *rows: tuple[str, str, str]) -> None:
    OutboxMessage.objects.using(alias).bulk_create(
        OutboxMessage(topic=topic, data=data, options=options) for topic, data, options in rows
    )


async def test_the_outbox_is_put_into_its_queues_in_order(alias: str) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store)
        assert not (await store.due()).has_outbox
        count = TAKEN_AT_ONCE + 5
        rows = [(TOPIC.name, str(number), "") for number in range(count)]
        await asyncio.to_thread(write_outbox, alias, *rows)
        assert (await store.due()).has_outbox
        assert await store.take_outbox() == (subscription,)
        assert await store.take_outbox() == ()
        assert values(await claim(store, subscription, count)) == [text for _, text, _ in rows]
        await asyncio.to_thread(write_outbox, alias, (TOPIC.name, "0", ""))
        assert await store.take_outbox() == (subscription,)


async def test_options_of_the_outbox_are_those_of_enqueue(alias: str) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store, policy=FIFO)
        await asyncio.to_thread(
            write_outbox,
            alias,
            (TOPIC.name, "1", '{"message_id":"m1","message_group":"g","idempotency_key":"k"}'),
            (TOPIC.name, "2", '{"message_id":"m2","idempotency_key":"k"}'),
            (TOPIC.name, "3", '{"message_id":"m3","expires_at":4000000000000}'),
            (TOPIC.name, "4", '{"message_id":"m4","message_group":"h","delay_ms":3600000}'),
        )
        await store.take_outbox()
        one, three = await claim(store, subscription)
        assert (one.message_id, one.group, three.message_id) == ("m1", "g", "m3")
        assert three.expires_at_ms == 4_000_000_000_000
        stats = await store.stats(TOPIC)
        assert stats is not None
        assert (stats.delayed, stats.depth) == (1, 3)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", "1", ""), "`topic` is empty"),
        ((TOPIC.name, "{", ""), "`data` is not JSON text"),
        ((TOPIC.name, "1", '{"delay_ms":"soon"}'), "`options` cannot be read"),
    ],
)
async def test_a_bad_row_becomes_a_dead_letter_and_holds_nothing_up(
    alias: str, row: tuple[str, str, str], reason: str
) -> None:
    async with running(alias) as store:
        subscription = await subscribe(store)
        await asyncio.to_thread(write_outbox, alias, row, (TOPIC.name, "2", ""))
        assert await store.take_outbox() == (subscription,)
        assert values(await claim(store, subscription)) == ["2"]
        (letter,) = await store.dead_letters(TOPIC._replace(name=row[0]), 0, 10)
        assert (letter.data.decode(), letter.error[: len(reason)]) == (row[1], reason)


async def test_what_another_process_writes_into_the_file_is_noticed(
    sqlite_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(sqlite_alias) as store:
        subscription = await subscribe(store)
        assert await store.take_outbox() == ()
        asked: list[str] = []
        fetch = StoreConnection.fetch

        def listen(self: StoreConnection, sql: str, parameters: tuple[object, ...] = ()) -> object:
            asked.append(sql)
            return fetch(self, sql, parameters)

        monkeypatch.setattr(StoreConnection, "fetch", listen)
        assert await store.take_outbox() == ()
        assert asked == ["PRAGMA data_version"]
        path = connections.settings[sqlite_alias]["NAME"]
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(
                "INSERT INTO engine_outboxmessage (topic, data, options) VALUES (?, ?, ?)",
                (TOPIC.name, "1", ""),
            )
        assert await store.take_outbox() == (subscription,)
        assert values(await claim(store, subscription)) == ["1"]


# --- several engines ------------------------------------------------------------------------------


async def test_one_engine_at_a_time_delivers_a_subscription(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    subscription = await subscribe(one)
    assert await subscribe(two) == subscription
    await put(one, "1")
    (first,) = await claim(one, subscription)
    await put(two, "2")
    turn = await two.turn(subscription, (), 10)
    assert (turn.is_elsewhere, list(turn.claimed), turn.has_more) == (True, [], False)
    row = await one.row(subscription)
    assert (row.is_wanted, row.holder) == (True, one.database.node_id)
    # Whoever holds it sees what is due; to the other it is none of its business.
    assert (await one.due()).subscriptions == (subscription,)
    assert (await two.due()).subscriptions == ()
    turn = await one.turn(subscription, [done(first)], 10)
    assert values(list(turn.claimed)) == ["2"]
    turn = await one.turn(subscription, [done(turn.claimed[0])], 10)
    row = await one.row(subscription)
    assert (row.is_wanted, row.holder, row.delivered) == (False, None, 2)
    await put(one, "3")
    assert values(await claim(two, subscription)) == ["3"]


@pytest.mark.parametrize("policy", [STANDARD, FIFO])
async def test_a_dead_engine_is_followed_by_another_which_it_cannot_disturb(
    nodes: tuple[Node, Node], policy: Policy
) -> None:
    dead, heir = nodes
    subscription = await subscribe(dead, policy=policy)
    await subscribe(heir, policy=policy)
    await put(dead, "1")
    (lost,) = await claim(dead, subscription)
    assert (await heir.due()).subscriptions == ()
    await dead.live(age_s=NODE_LEASE.total_seconds() + 1)
    assert (await heir.due()).subscriptions == (subscription,)
    (again,) = await claim(heir, subscription)
    assert (again.id, again.attempt) == (lost.id, 2)
    await dead.live()
    for outcome in (done(lost), failed(lost, None), done(again)):
        turn = await dead.turn(subscription, [outcome], 10)
        assert (turn.lost, turn.is_elsewhere) == (1, True)
    assert (await heir.turn(subscription, [done(again)], 10)).lost == 0
    assert (await heir.row(subscription)).delivered == 1


async def test_an_engine_delivers_for_its_own_workers_alone(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    subscription = await subscribe(one)
    await put(two)
    assert await claim(two, subscription) == []
    assert (await two.due()).subscriptions == ()
    await subscribe(two)
    await two.detach(subscription)
    assert (await one.row(subscription)).detached_at is not None
    assert (await one.due()).subscriptions == (subscription,)
    async with asyncio.timeout(LIMIT_S):
        while (await one.row(subscription)).detached_at is not None:
            await asyncio.sleep(0.001)
    assert len(await claim(one, subscription)) == 1


async def test_what_was_put_in_anywhere_goes_to_everybody(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    first, second = await subscribe(one, "f"), await subscribe(two, "g")
    same = await asyncio.gather(put(one, key="k"), put(two, key="k"))
    assert len({receipt.message_id for receipt in same}) == 1
    assert sorted(receipt.is_duplicate for receipt in same) == [False, True]
    assert (len(await claim(one, first)), len(await claim(two, second))) == (1, 1)


async def test_nothing_is_lost_while_subscriptions_come_and_go(nodes: tuple[Node, Node]) -> None:
    """Messages of two engines, while one of them subscribes and the other removes subscriptions.

    Each message has to be in a subscription that still is, or wait for the first one.
    """
    one, two = nodes
    stays = await subscribe(one, "stays")
    messages = itertools.count()

    async def enqueue(node: Node) -> None:
        for _ in range(15):
            await asyncio.gather(*(put(node, str(next(messages))) for _ in range(20)))

    async def come_and_go() -> None:
        for _ in range(10):
            await two.unsubscribe(await subscribe(two, "goes"))

    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(enqueue(one), enqueue(two), come_and_go())
    assert sorted(map(int, values(await claim(one, stays, 1_000)))) == list(range(600))
    stats = await one.stats(TOPIC)
    assert stats is not None
    assert (stats.depth, stats.subscribers) == (600, 1)


class Handlers:
    """Handlers that take their time and sometimes fail; they see whether groups are kept apart."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._in_flight: set[str] = set()
        self.seen: list[tuple[str, int]] = []

    async def deliver(self, node: Node, subscription: int, count: int) -> None:
        """Deliver from one engine until so many messages are through everywhere."""
        held: list[Delivery] = []
        while len(self.seen) < count:
            self._chance.shuffle(held)
            ended = self._chance.randint(0, len(held))
            outcomes = [self._end(each) for each in held[:ended]]
            turn = await node.turn(subscription, outcomes, 6 - len(held) + ended)
            assert turn.lost == 0
            for each in turn.claimed:
                assert each.group not in self._in_flight
                self._in_flight.add(each.group)
            held = [*held[ended:], *turn.claimed]

    def _end(self, delivery: Delivery) -> Outcome:
        self._in_flight.remove(delivery.group)
        if self._chance.random() < 0.2:
            return failed(delivery, 0)
        self.seen.append((delivery.group, int(delivery.data)))
        return done(delivery)


async def test_groups_keep_their_order_whoever_puts_in_and_delivers(
    nodes: tuple[Node, Node],
) -> None:
    """Two engines put in and deliver at once: one of a group in flight, in each one's order."""
    handlers = Handlers(seed=1)
    subscription = await subscribe(nodes[0], policy=FIFO)
    await subscribe(nodes[1], policy=FIFO)
    sent = 40

    async def enqueue(name: str, node: Node) -> None:
        for number in range(sent):
            await put(node, str(number), group=f"{name}{number % 5}" if number % 2 else "both")

    async with asyncio.timeout(LIMIT_S * 2):
        await asyncio.gather(
            enqueue("a", nodes[0]),
            enqueue("b", nodes[1]),
            *(handlers.deliver(node, subscription, 2 * sent) for node in nodes),
        )
    assert len(handlers.seen) == 2 * sent
    for group in {group for group, _ in handlers.seen} - {"both"}:
        numbers = [number for name, number in handlers.seen if name == group]
        assert numbers == sorted(numbers)


class Bustle:
    """Everything that an engine does with its store, in any order."""

    def __init__(self, seed: int, subscriptions: list[int]) -> None:
        self._chance = random.Random(seed)
        self._subscriptions = subscriptions

    async def act(self, node: Node) -> None:
        """Do several things at once, many times."""
        for _ in range(25):
            await asyncio.gather(*(self._act(node) for _ in range(4)))

    async def _act(self, node: Node) -> None:
        chance = self._chance
        queue = chance.choice([TOPIC, OTHER])
        match chance.randrange(7):
            case 0:
                key = chance.choice("kl")
                await put(node, queue=queue, group="x", key=key, expires_at_ms=1)
            case 1:
                await put(node, queue=queue, group=chance.choice("xyz"))
            case 2:
                await self._deliver(node, chance.choice(self._subscriptions))
            case 3:
                await node.sweep()
            case 4:
                await node.redrive(queue, Chosen())
            case 5:
                await node.set_paused(queue, False)
            case _:
                await subscribe(node, "g", STANDARD, queue)

    async def _deliver(self, node: Node, subscription: int) -> None:
        deliveries = await claim(node, subscription, 5)
        outcomes: list[Outcome] = [
            failed(each, None) if self._chance.random() < 0.3 else done(each) for each in deliveries
        ]
        await node.turn(subscription, outcomes, 0)


async def test_engines_that_do_everything_at_once_do_not_hold_each_other_up(
    nodes: tuple[Node, Node],
) -> None:
    """Locks are taken in one order: no deadlock, which PostgreSQL would end with an error."""
    subscriptions = {
        await subscribe(node, name, FIFO if name == "f" else STANDARD, queue)
        for node in nodes
        for queue in (TOPIC, OTHER)
        for name in "fg"
    }
    bustle = Bustle(3, sorted(subscriptions))
    async with asyncio.timeout(LIMIT_S * 2):
        await asyncio.gather(*(bustle.act(node) for node in nodes for _ in range(2)))
