"""What every queue store owes, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from engine.modules.queue.adapters import base
from engine.modules.queue.adapters.base import (
    Chosen,
    Delivery,
    Done,
    Failed,
    NewMessage,
    Outcome,
    Policy,
    QueueKind,
    QueueName,
    QueueStore,
    Receipt,
    Returned,
    Subscription,
    Turn,
)
from engine.modules.queue.adapters.database import DatabaseQueueStore
from engine.modules.queue.adapters.memory import MemoryQueueStore
from kv.stores.database import Database
from tests.queue_stores import (
    FIFO,
    NAMED,
    OTHER,
    STANDARD,
    START_MS,
    TOPIC,
    Clock,
    claim,
    done,
    failed,
    kill,
    put,
    subscribe,
    take,
    values,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest_asyncio.fixture
async def store(place: tuple[str, str], clock: Clock) -> AsyncIterator[QueueStore]:
    kind, alias = place
    if kind == "memory":
        yield MemoryQueueStore()
        return
    database = Database.open(is_sqlite=kind == "sqlite", description=kind, alias=alias)
    database.start()
    found = DatabaseQueueStore(database)
    assert await found.start() == []
    yield found
    await database.stop()


async def depths(store: QueueStore, queue: QueueName = TOPIC) -> tuple[int, int, int, int]:
    """Return how many wait, are delayed, in flight, dead."""
    stats = await store.stats(queue)
    assert stats is not None
    return stats.waiting, stats.delayed, stats.in_flight, stats.dead


async def are_waiting(store: QueueStore, queue: QueueName) -> bool:
    """Tell whether messages wait in a queue that may not exist."""
    stats = await store.stats(queue)
    return stats is not None and stats.waiting > 0


# --- messages and subscriptions -------------------------------------------------------------------


async def test_a_message_is_delivered_as_it_was_sent(store: QueueStore, clock: Clock) -> None:
    subscription = await subscribe(store)
    text = '{"b":1.0, "a" : 1e5,"a":12345678901234567890, "t":"\\u0000 \u00e9 \\ud800"}'
    message = NewMessage("id", TOPIC, text.encode(), context=b'{"traceparent":"00-\\u0000"}')
    receipt = await store.enqueue(message, lambda receipt: receipt)
    assert receipt == Receipt("id", False, (subscription,))
    (delivery,) = await claim(store, subscription)
    assert delivery == Delivery(
        id=delivery.id,
        message_id="id",
        function_id="f",
        data=text.encode(),
        context=b'{"traceparent":"00-\\u0000"}',
        group="",
        attempt=1,
        enqueued_at_ms=START_MS,
        expires_at_ms=None,
    )


async def test_every_function_of_a_topic_gets_each_message(store: QueueStore) -> None:
    first, second = await subscribe(store, "f"), await subscribe(store, "g")
    await subscribe(store, "h", queue=OTHER)
    receipt = await put(store)
    assert receipt.subscriptions == (first, second)
    (one,), (two,) = await claim(store, first), await claim(store, second)
    assert (one.function_id, two.function_id) == ("f", "g")
    assert one.message_id == two.message_id == receipt.message_id
    await store.turn(first, [done(one)], 0)
    assert await depths(store) == (0, 0, 1, 0)


async def test_a_named_queue_delivers_to_the_function_of_each_message(store: QueueStore) -> None:
    subscription = await subscribe(store, "", queue=NAMED)
    await subscribe(store)
    await put(store, "1", queue=NAMED, function_id="a")
    await put(store, "2", queue=NAMED, function_id="b")
    deliveries = await claim(store, subscription)
    assert [(each.function_id, each.data) for each in deliveries] == [("a", b"1"), ("b", b"2")]


async def test_messages_keep_the_order_in_which_they_were_put_in(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await asyncio.gather(*(put(store, str(number)) for number in range(300)))
    claimed: list[str] = []
    has_more = True
    while has_more:
        turn = await store.turn(subscription, (), 70)
        claimed += values(turn.claimed)
        has_more = turn.has_more
    assert claimed == [str(number) for number in range(300)]


async def test_a_turn_says_whether_more_is_due(store: QueueStore) -> None:
    subscription = await subscribe(store)
    for _ in range(3):
        await put(store)
    first = await store.turn(subscription, (), 2)
    assert (len(first.claimed), first.has_more) == (2, True)
    second = await store.turn(subscription, (), 2)
    assert (len(second.claimed), second.has_more) == (1, False)
    assert await take(store, subscription) == Turn([], False, None)


async def test_a_second_subscribe_changes_the_policy(store: QueueStore) -> None:
    first = await store.subscribe(TOPIC, "f", STANDARD)
    second = await store.subscribe(TOPIC, "f", Policy(concurrency=3))
    assert second == Subscription(
        first.id, TOPIC, "f", Policy(concurrency=3), is_attached=True, is_paused=False
    )


async def test_many_subscriptions_change_at_once_and_each_gets_its_own_answer(
    store: QueueStore,
) -> None:
    topics = [QueueName(QueueKind.TOPIC, f"topic {number}") for number in range(450)]
    policies = [Policy(concurrency=1 + number) for number in range(450)]
    former = await store.subscribe(topics[7], "f", FIFO)

    wanted = [store.subscribe(*each) for each in zip(topics, ["f"] * 450, policies, strict=True)]
    sent = store.enqueue(NewMessage("m", topics[449], b"1"), lambda receipt: receipt.subscriptions)

    found = [await each for each in wanted]
    assert [(each.queue, each.policy) for each in found] == list(zip(topics, policies, strict=True))
    assert len({each.id for each in found}) == 450
    assert found[7].id == former.id
    assert await sent == (found[449].id,)
    gone = [store.unsubscribe(each.id) for each in found[400:]]
    left = [store.detach(each.id) for each in found[:400]]
    assert [await each for each in gone] == [0] * 49 + [1]
    for each in left:
        await each
    assert len(await store.queues()) == 400


async def test_a_detached_subscription_receives_and_delivers_nothing(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await store.detach(subscription)
    assert (await put(store)).subscriptions == (subscription,)
    assert await take(store, subscription) == Turn([], False, None)
    assert (await store.due()).subscriptions == ()
    assert await subscribe(store) == subscription
    assert (await store.due()).subscriptions == (subscription,)
    assert len(await claim(store, subscription)) == 1


async def test_an_unsubscribed_function_gets_nothing_more(store: QueueStore) -> None:
    gone, stays = await subscribe(store, "f"), await subscribe(store, "g")
    await put(store)
    await put(store)
    await claim(store, gone, 1)
    assert await store.unsubscribe(gone) == 2
    assert await take(store, gone) == Turn([], False, None)
    assert (await put(store)).subscriptions == (stays,)
    assert len(await claim(store, stays)) == 3
    assert await subscribe(store, "f") != gone


# --- messages without subscription ----------------------------------------------------------------


async def test_messages_wait_for_the_first_subscription_and_go_to_all_in_order(
    store: QueueStore,
) -> None:
    assert (await put(store, "1")).subscriptions == ()
    await put(store, "2", group="g")
    assert await are_waiting(store, TOPIC)
    first, second = await subscribe(store, "f"), await subscribe(store, "g", FIFO)
    assert (await put(store, "3")).subscriptions == ()
    assert await claim(store, first) == []
    assert (await store.subscribe(TOPIC, "f", Policy())).has_unclaimed
    assert await store.distribute(TOPIC) == (first, second)
    assert not (await store.subscribe(TOPIC, "f", Policy())).has_unclaimed
    assert (await put(store, "4")).subscriptions == (first, second)
    assert values(await claim(store, first)) == ["1", "2", "3", "4"]
    assert values(await claim(store, second)) == ["1", "2"]
    assert await store.distribute(TOPIC) == ()


async def test_too_many_messages_without_subscription_push_out_the_oldest(
    store: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "intake"):
        monkeypatch.setattr(f"engine.modules.queue.adapters.{module}.UNCLAIMED_LIMIT", 3)
    for number in range(5):
        await put(store, str(number))
    await put(store, "x", queue=OTHER)
    subscription = await subscribe(store)
    await store.distribute(TOPIC)
    assert values(await claim(store, subscription)) == ["2", "3", "4"]
    assert await are_waiting(store, OTHER)


# --- outcomes -------------------------------------------------------------------------------------


async def test_what_is_done_is_gone_and_counted(store: QueueStore) -> None:
    subscription = await subscribe(store)
    for _ in range(3):
        await put(store)
    one, two, three = await claim(store, subscription)
    expired = Done(two.id, two.attempt, is_success=False)
    turn = await store.turn(subscription, [done(one), expired, done(three)], 10)
    assert turn == Turn([], False, None)
    stats = await store.stats(TOPIC)
    assert stats is not None
    assert (stats.depth, stats.delivered, stats.failed) == (0, 2, 0)


async def test_a_failed_attempt_waits_and_comes_before_what_is_younger(
    store: QueueStore, clock: Clock
) -> None:
    subscription = await subscribe(store)
    await put(store, "1")
    (delivery,) = await claim(store, subscription)
    await put(store, "2")
    retry_at = START_MS + 1_000
    turn = await take(store, subscription, [failed(delivery, retry_at)], 0)
    assert turn == Turn([], True, retry_at)
    assert await depths(store) == (1, 1, 0, 0)
    clock.now = retry_at
    again = await claim(store, subscription)
    assert [(each.data, each.attempt) for each in again] == [(b"1", 2), (b"2", 1)]


async def test_a_last_failure_makes_a_dead_letter_with_its_history(
    store: QueueStore, clock: Clock
) -> None:
    subscription = await subscribe(store)
    receipt = await put(store, '"poison"')
    (first,) = await claim(store, subscription)
    await store.turn(subscription, [Failed(first.id, 1, "one", START_MS, START_MS)], 0)
    (second,) = await claim(store, subscription)
    clock.now += 5
    error = "nul \0 long " + "x" * 3_000
    turn = await store.turn(subscription, [Failed(second.id, 2, error, clock.now, None)], 10)
    assert turn == Turn([], False, None)
    kept = error[: base.ERROR_LIMIT].replace("\0", "\ufffd")
    (letter,) = await store.dead_letters(TOPIC, 0, 10)
    assert msgspec.json.decode(letter.history) == [
        {"attempt": 1, "at": START_MS, "error": "one"},
        {"attempt": 2, "at": START_MS + 5, "error": kept},
    ]
    assert letter == base.DeadLetter(
        id=first.id,
        message_id=receipt.message_id,
        queue=TOPIC,
        function_id="f",
        data=b'"poison"',
        error=kept,
        history=letter.history,
        failed_at_ms=START_MS + 5,
        enqueued_at_ms=START_MS,
        attempts=2,
    )
    stats = await store.stats(TOPIC)
    assert stats is not None
    assert (stats.depth, stats.dead, stats.delivered, stats.failed) == (0, 1, 0, 2)


async def test_only_the_last_failures_are_remembered(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await put(store)
    for number in range(1, base.HISTORY_LIMIT + 3):
        (delivery,) = await claim(store, subscription)
        await store.turn(subscription, [failed(delivery, START_MS, str(number))], 0)
    await kill(store, subscription, "last")
    (letter,) = await store.dead_letters(TOPIC, 0, 1)
    errors = [entry["error"] for entry in msgspec.json.decode(letter.history)]
    expected = [str(number) for number in range(1, base.HISTORY_LIMIT + 3)] + ["last"]
    assert errors == expected[-base.HISTORY_LIMIT :]


async def test_what_was_not_attempted_waits_again_in_its_place(store: QueueStore) -> None:
    subscription = await subscribe(store)
    for number in range(3):
        await put(store, str(number))
    one, two, three = await claim(store, subscription)
    await store.turn(subscription, [Returned(two.id, 1), Returned(one.id, 1), done(three)], 0)
    again = await claim(store, subscription)
    assert [(each.data, each.attempt) for each in again] == [(b"0", 1), (b"1", 1)]


async def test_an_outcome_counts_only_for_its_claim(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await put(store)
    (first,) = await claim(store, subscription)
    await store.turn(subscription, [failed(first, START_MS)], 0)
    (second,) = await claim(store, subscription)
    late: list[Outcome] = [done(first), failed(first, None), Returned(first.id, 1), Done(10**6, 1)]
    assert (await store.turn(subscription, late, 10)).lost == 4
    assert await depths(store) == (0, 0, 1, 0)
    assert (await store.turn(subscription, [done(second), done(second)], 10)).lost == 1
    assert await depths(store) == (0, 0, 0, 0)


async def test_turns_of_one_commit_follow_each_other(store: QueueStore) -> None:
    subscription = await subscribe(store)
    for number in range(5):
        await put(store, str(number))
    turns = [store.turn(subscription, (), 2) for _ in range(3)]
    claimed = [values((await turn).claimed) for turn in turns]
    assert claimed == [["0", "1"], ["2", "3"], ["4"]]


# --- time -----------------------------------------------------------------------------------------


async def test_a_delayed_message_is_due_at_its_time(store: QueueStore, clock: Clock) -> None:
    subscription = await subscribe(store)
    run_at = START_MS + 500
    await put(store, run_at_ms=run_at)
    await put(store, run_at_ms=run_at + 500)
    assert await take(store, subscription) == Turn([], False, run_at)
    assert await store.due() == base.Due((), run_at)
    clock.now = run_at
    assert (await store.due()).subscriptions == (subscription,)
    turn = await store.turn(subscription, (), 10)
    assert (len(turn.claimed), turn.has_more, turn.next_run_at_ms) == (1, False, run_at + 500)


async def test_the_delay_of_a_policy_holds_for_every_message(
    store: QueueStore, clock: Clock
) -> None:
    subscription = await subscribe(store, policy=Policy(delay_ms=300))
    await put(store, "1")
    await put(store, "2", run_at_ms=START_MS + 900)
    clock.now += 299
    assert await claim(store, subscription) == []
    clock.now += 1
    assert values(await claim(store, subscription)) == ["1"]
    clock.now = START_MS + 900
    assert values(await claim(store, subscription)) == ["2"]


async def test_a_key_is_used_once_in_its_time(store: QueueStore, clock: Clock) -> None:
    subscription = await subscribe(store)
    await subscribe(store, queue=OTHER)
    first, same = await asyncio.gather(put(store, key="k"), put(store, key="k"))
    assert same == Receipt(first.message_id, True, ())
    assert not (await put(store, key="k2")).is_duplicate
    assert not (await put(store, key="k", queue=OTHER)).is_duplicate
    clock.now += base.IDEMPOTENCY_MS - 1
    assert await put(store, key="k") == Receipt(first.message_id, True, ())
    clock.now += 1
    assert not (await put(store, key="k")).is_duplicate
    assert len(await claim(store, subscription)) == 3


async def test_a_sweep_deletes_what_is_over(store: QueueStore, clock: Clock) -> None:
    subscription = await subscribe(store, policy=Policy(retention_ms=10**12))
    await put(store, "dead")
    await kill(store, subscription)
    await put(store, "expired", expires_at_ms=START_MS + 100, run_at_ms=START_MS + 50)
    await put(store, "stays", key="k")
    await put(store, "unclaimed", queue=OTHER)
    assert await store.sweep() == 0
    clock.now += 100
    assert await store.sweep() == 1
    clock.now = START_MS + base.IDEMPOTENCY_MS
    assert await store.sweep() == 1
    clock.now = START_MS + base.UNCLAIMED_RETENTION_MS
    await store.sweep()
    assert not await are_waiting(store, OTHER)
    clock.now = START_MS + base.DEAD_RETENTION_MS
    await store.sweep()
    assert await depths(store) == (1, 0, 0, 0)
    assert [stats.name for stats in await store.queues()] == [TOPIC]


async def test_a_sweep_removes_subscriptions_that_no_worker_has_had_for_long(
    store: QueueStore, clock: Clock
) -> None:
    kept = await subscribe(store, "f", Policy(retention_ms=20_000))
    gone = await subscribe(store, "g", Policy(retention_ms=20_000))
    await store.detach(gone)
    await put(store)
    clock.now += 19_999
    await store.sweep()
    assert (await put(store)).subscriptions == (kept, gone)
    clock.now += 1
    assert await store.sweep() == 3
    assert (await put(store)).subscriptions == (kept,)


# --- FIFO -----------------------------------------------------------------------------------------


async def test_one_message_of_a_group_is_in_flight_at_a_time(store: QueueStore) -> None:
    subscription = await subscribe(store, policy=FIFO)
    for text in ("a1", "b1", "a2", "b2", "a3"):
        await put(store, text, group=text[0])
    turn = await store.turn(subscription, (), 10)
    assert (values(turn.claimed), turn.has_more) == (["a1", "b1"], False)
    assert [each.group for each in turn.claimed] == ["a", "b"]
    assert await depths(store) == (3, 0, 2, 0)
    turn = await store.turn(subscription, [done(turn.claimed[0])], 10)
    assert values(turn.claimed) == ["a2"]
    turn = await store.turn(subscription, [done(turn.claimed[0])], 10)
    assert values(turn.claimed) == ["a3"]


async def test_a_failing_message_blocks_its_group_alone(store: QueueStore, clock: Clock) -> None:
    subscription = await subscribe(store, policy=FIFO)
    for text in ("a1", "a2", "b1", "b2"):
        await put(store, text, group=text[0])
    a1, b1 = await claim(store, subscription)
    turn = await store.turn(subscription, [failed(a1, START_MS + 100), done(b1)], 10)
    assert (values(turn.claimed), turn.next_run_at_ms) == (["b2"], START_MS + 100)
    clock.now += 100
    (again,) = await claim(store, subscription)
    assert (again.data, again.attempt) == (b"a1", 2)
    turn = await store.turn(subscription, [failed(again, None)], 10)
    assert values(turn.claimed) == ["a2"]


async def test_messages_without_group_are_one_group(store: QueueStore) -> None:
    subscription = await subscribe(store, policy=FIFO)
    await put(store, "1")
    await put(store, "2")
    (first,) = await claim(store, subscription)
    assert first.group == ""
    turn = await store.turn(subscription, [Returned(first.id, 1)], 10)
    assert values(turn.claimed) == ["1"]
    turn = await store.turn(subscription, [done(turn.claimed[0])], 10)
    assert values(turn.claimed) == ["2"]


async def test_a_delayed_message_holds_up_its_group(store: QueueStore, clock: Clock) -> None:
    subscription = await subscribe(store, policy=FIFO)
    await put(store, "1", run_at_ms=START_MS + 100)
    await put(store, "2")
    await put(store, "x", group="g")
    assert values(await claim(store, subscription)) == ["x"]
    clock.now += 100
    (first,) = await claim(store, subscription)
    assert first.data == b"1"
    turn = await store.turn(subscription, [done(first)], 10)
    assert values(turn.claimed) == ["2"]


async def test_what_expires_gives_way_to_the_next_of_its_group(
    store: QueueStore, clock: Clock
) -> None:
    subscription = await subscribe(store, policy=FIFO)
    await put(store, "1", expires_at_ms=START_MS + 10, run_at_ms=START_MS + 10**6)
    await put(store, "2")
    assert await claim(store, subscription) == []
    clock.now += 10
    assert await store.sweep() == 1
    assert values(await claim(store, subscription)) == ["2"]


async def test_more_groups_than_are_claimed_at_once_come_in_order(store: QueueStore) -> None:
    subscription = await subscribe(store, policy=FIFO)
    for number in range(3):
        for group in range(200):
            await put(store, f"{group}.{number}", group=str(group))
    seen: dict[str, list[str]] = {}
    outcomes: list[Outcome] = []
    async with asyncio.timeout(60):
        while True:
            turn = await store.turn(subscription, outcomes, 16)
            if not turn.claimed and not turn.has_more:
                break
            groups = [each.group for each in turn.claimed]
            assert len(set(groups)) == len(groups)
            for each in turn.claimed:
                seen.setdefault(each.group, []).append(each.data.decode())
            outcomes = [done(each) for each in turn.claimed]
    assert seen == {str(group): [f"{group}.{n}" for n in range(3)] for group in range(200)}


async def test_what_waits_is_ordered_anew_when_a_subscription_becomes_fifo(
    store: QueueStore,
) -> None:
    subscription = await subscribe(store)
    for text in ("1", "2", "3"):
        await put(store, text)
    (first,) = await claim(store, subscription, 1)
    await subscribe(store, policy=FIFO)
    assert await claim(store, subscription) == []
    turn = await store.turn(subscription, [done(first)], 10)
    assert values(turn.claimed) == ["2"]
    await put(store, "4")
    await subscribe(store, policy=STANDARD)
    assert values(await claim(store, subscription)) == ["3", "4"]


# --- pause, figures, dead letters -----------------------------------------------------------------


async def test_a_paused_queue_receives_and_delivers_nothing(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await put(store)
    (delivery,) = await claim(store, subscription)
    assert await store.set_paused(TOPIC, True) == (subscription,)
    await put(store)
    assert await take(store, subscription, [done(delivery)]) == Turn([], False, None)
    assert (await store.due()).subscriptions == ()
    stats = await store.stats(TOPIC)
    assert stats is not None
    assert (stats.is_paused, stats.delivered, stats.waiting) == (True, 1, 1)
    assert (await store.subscribe(TOPIC, "f", STANDARD)).is_paused
    assert await store.set_paused(TOPIC, False) == (subscription,)
    assert len(await claim(store, subscription)) == 1


async def test_a_queue_may_be_paused_before_it_is_used(store: QueueStore) -> None:
    assert await store.set_paused(TOPIC, True) == ()
    assert [stats.name for stats in await store.queues()] == [TOPIC]
    subscription = await subscribe(store)
    await put(store)
    assert await claim(store, subscription) == []
    assert await store.set_paused(OTHER, False) == ()
    assert await store.stats(OTHER) is None


async def test_figures_are_those_of_all_subscriptions(store: QueueStore, clock: Clock) -> None:
    first = await subscribe(store, "f", FIFO)
    second = await subscribe(store, "g")
    await subscribe(store, "", queue=NAMED)
    await store.detach(second)
    await put(store)
    clock.now += 1_000
    await put(store)
    await put(store, run_at_ms=START_MS + 10**6, group="later")
    await claim(store, first)
    await put(store, queue=OTHER)
    clock.now += 500
    named, orders, others = sorted(await store.queues(), key=lambda stats: stats.name)
    assert orders == base.QueueStats(
        name=TOPIC,
        is_paused=False,
        waiting=3,
        delayed=2,
        in_flight=1,
        dead=0,
        oldest_age_ms=1_500,
        delivered=0,
        failed=0,
        subscribers=1,
        policy=FIFO,
    )
    assert (named.name, named.depth, named.oldest_age_ms) == (NAMED, 0, None)
    assert (others.name, others.waiting, others.oldest_age_ms) == (OTHER, 1, 500)
    assert (others.subscribers, others.policy) == (0, None)
    assert await store.stats(QueueName(QueueKind.TOPIC, "nothing")) is None


async def test_dead_letters_are_listed_from_the_oldest_failure_on(
    store: QueueStore, clock: Clock
) -> None:
    subscription = await subscribe(store)
    for number in range(4):
        await put(store, str(number))
    deliveries = await claim(store, subscription)
    for delivery, at_ms in zip(deliveries, (30, 10, 20, 40), strict=True):
        outcome = Failed(delivery.id, 1, "no", START_MS + at_ms, None)
        await store.turn(subscription, [outcome], 0)
    letters = await store.dead_letters(TOPIC, 1, 2)
    assert [letter.data for letter in letters] == [b"2", b"0"]
    assert await store.dead_letters(OTHER, 0, 10) == []


async def test_redriven_letters_go_to_the_end_and_begin_anew(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await put(store, "1", expires_at_ms=START_MS + 10**6)
    (dead,) = await kill(store, subscription)
    await put(store, "2")
    assert await store.redrive(TOPIC, Chosen()) == (1, (subscription,))
    two, one = await claim(store, subscription)
    assert (values([two, one]), one.attempt) == (["2", "1"], 1)
    assert (one.message_id, one.enqueued_at_ms) == (dead.message_id, START_MS)
    assert one.id > two.id
    assert await depths(store) == (0, 0, 2, 0)
    await store.turn(subscription, [failed(one, None, "again")], 0)
    (letter,) = await store.dead_letters(TOPIC, 0, 1)
    history = msgspec.json.decode(letter.history)
    assert [entry["error"] for entry in history] == ["no", "again"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Chosen(), ["1", "2", "3", "4"]),
        (Chosen(limit=3), ["1", "2", "3"]),
        (Chosen(function_id="g"), ["3", "4"]),
        (Chosen(error_contains="ÄRGER (x"), ["2", "4"]),
        (Chosen(error_contains="ärger", limit=1), ["2"]),
        (Chosen(ids=["m1", "m4", "nothing", "99999999999999999999"]), ["1", "4"]),
        (Chosen(ids=[], function_id="f"), []),
    ],
)
@pytest.mark.parametrize("is_discarded", [True, False])
async def test_some_letters_are_chosen(
    store: QueueStore, chosen: Chosen, expected: list[str], is_discarded: bool
) -> None:
    subscriptions = {name: await subscribe(store, name, queue=QueueName(*TOPIC)) for name in "fg"}
    errors = {"1": "boring", "2": "Großer Ärger (x)", "3": "boring", "4": "ÄRGER (X)"}
    for text, error in errors.items():
        message = NewMessage(f"m{text}", TOPIC, text.encode())
        await store.enqueue(message, lambda receipt: receipt)
        for name, subscription in subscriptions.items():
            (delivery,) = await claim(store, subscription)
            is_dead = name == ("f" if text in "12" else "g")
            outcome: Outcome = failed(delivery, None, error) if is_dead else done(delivery)
            await store.turn(subscription, [outcome], 0)
    if is_discarded:
        assert await store.discard(TOPIC, chosen) == len(expected)
    else:
        count, woken = await store.redrive(TOPIC, chosen)
        assert count == len(expected)
        assert set(woken) == {subscriptions["f" if text in "12" else "g"] for text in expected}
        again = [*await claim(store, subscriptions["f"]), *await claim(store, subscriptions["g"])]
        assert values(again) == expected
    left = [letter.data.decode() for letter in await store.dead_letters(TOPIC, 0, 10)]
    assert left == [text for text in errors if text not in expected]


async def test_a_letter_is_chosen_by_the_id_of_its_delivery(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await put(store, "1")
    await put(store, "2")
    _, second = await kill(store, subscription)
    assert await store.redrive(TOPIC, Chosen(ids=[str(second.id)]), b'{"edited":1}') == (
        1,
        (subscription,),
    )
    assert values(await claim(store, subscription)) == ['{"edited":1}']
    assert [letter.data for letter in await store.dead_letters(TOPIC, 0, 10)] == [b"1"]


async def test_many_letters_are_redriven_and_discarded(store: QueueStore) -> None:
    subscription = await subscribe(store)
    await asyncio.gather(*(put(store, str(number)) for number in range(1_200)))
    deliveries = await claim(store, subscription, 2_000)
    await store.turn(subscription, [failed(each, None) for each in deliveries], 0)
    assert await store.redrive(TOPIC, Chosen(limit=700)) == (700, (subscription,))
    again = await claim(store, subscription, 1_000)
    assert values(again) == [str(number) for number in range(700)]
    assert await store.discard(TOPIC, Chosen()) == 500


async def test_letters_of_a_removed_subscription_stay_until_there_is_another(
    store: QueueStore,
) -> None:
    subscription = await subscribe(store)
    await subscribe(store, "g")
    await put(store)
    await kill(store, subscription)
    assert await store.unsubscribe(subscription) == 0
    assert await store.redrive(TOPIC, Chosen()) == (0, ())
    assert len(await store.dead_letters(TOPIC, 0, 10)) == 1
    again = await subscribe(store, policy=FIFO)
    assert await store.redrive(TOPIC, Chosen()) == (1, (again,))
    assert len(await claim(store, again)) == 1


async def test_letters_of_a_topic_without_subscription_wait_for_the_first(
    store: QueueStore,
) -> None:
    subscription = await subscribe(store)
    await put(store)
    await kill(store, subscription)
    await store.unsubscribe(subscription)
    assert await store.redrive(TOPIC, Chosen()) == (1, ())
    assert await are_waiting(store, TOPIC)
    again = await subscribe(store, "f")
    assert await store.distribute(TOPIC) == (again,)
    (delivery,) = await claim(store, again)
    assert delivery.attempt == 1


async def test_letters_of_a_named_queue_are_redriven_to_their_functions(store: QueueStore) -> None:
    subscription = await subscribe(store, "", queue=NAMED)
    await put(store, queue=NAMED, function_id="a")
    await kill(store, subscription)
    assert await store.redrive(NAMED, Chosen(function_id="a")) == (1, (subscription,))
    (delivery,) = await claim(store, subscription)
    assert delivery.function_id == "a"


async def test_a_large_message_goes_through(store: QueueStore) -> None:
    subscription = await subscribe(store)
    text = f'"{"x" * 3_000_000}"'
    await put(store, text)
    assert values(await claim(store, subscription)) == [text]


async def test_an_empty_outbox_gives_nothing(store: QueueStore) -> None:
    assert await store.take_outbox() == ()
