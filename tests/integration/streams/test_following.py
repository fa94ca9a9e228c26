"""What clients of streams get, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, TypeAlias

import pytest

from streams import history, outlet
from streams.module import StreamModule
from tests.integration.streams.conftest import Client
from tests.store_engine import Setting, StoreWorker

Connect: TypeAlias = Callable[..., Awaitable[Client]]

AT: dict[str, Any] = {"stream_name": "chat", "group_id": "g", "item_id": "m1"}
GROUP: dict[str, Any] = {"stream_name": "chat", "group_id": "g"}


async def test_a_client_of_a_group_first_gets_its_items(
    worker: StoreWorker, client: Connect
) -> None:
    await worker.result("stream::set", {**AT, "data": {"n": 1}})
    follower = await client()
    follower.join()
    (envelope,) = await follower.envelopes(1)
    assert set(envelope) == {"type", "timestamp", "streamName", "groupId", "id", "event", "seq"}
    assert envelope["event"] == {"type": "sync", "data": [{"n": 1}]}
    assert (envelope["streamName"], envelope["groupId"], envelope["id"]) == ("chat", "g", None)


async def test_a_client_of_a_missing_item_first_gets_null(client: Connect) -> None:
    follower = await client()
    follower.join(id="m1")
    (envelope,) = await follower.envelopes(1)
    assert (envelope["id"], envelope["event"]) == ("m1", {"type": "sync", "data": None})


async def test_changes_reach_the_clients_of_the_group_and_of_the_item(
    worker: StoreWorker, client: Connect
) -> None:
    followers = [await client(), await client(), await client()]
    followers[0].join()
    followers[1].join(id="m1")
    followers[2].join(id="other")
    for follower in followers:
        await follower.envelopes(1)
    await worker.result("stream::set", {**AT, "data": 1})
    ops = [{"type": "set", "path": "", "value": 2}]
    await worker.result("stream::update", {**AT, "ops": ops})
    await worker.result("stream::delete", AT)
    expected = [
        {"type": "create", "data": 1},
        {"type": "update", "data": 2},
        {"type": "delete", "data": 2},
    ]
    for follower in followers[:2]:
        envelopes = await follower.envelopes(3)
        assert [each["event"] for each in envelopes] == expected
        assert {each["id"] for each in envelopes} == {"m1"}
    assert followers[2].take() == []


async def test_a_stored_null_is_created_and_updated(worker: StoreWorker, client: Connect) -> None:
    follower = await client()
    follower.join(id="m1")
    await follower.envelopes(1)
    await worker.result("stream::set", {**AT, "data": None})
    await worker.result("stream::set", {**AT, "data": None})
    expected: list[Any] = [{"type": "create", "data": None}, {"type": "update", "data": None}]
    assert await follower.events(2) == expected


async def test_another_group_and_a_missing_item_are_no_events(
    worker: StoreWorker, client: Connect
) -> None:
    follower = await client()
    follower.join()
    await follower.envelopes(1)
    await worker.result("stream::set", {**AT, "group_id": "other", "data": 1})
    await worker.result("stream::set", {**AT, "stream_name": "other", "data": 1})
    await worker.result("stream::delete", AT)
    assert follower.take() == []


async def test_an_event_of_the_group_reaches_no_client_of_an_item(
    worker: StoreWorker, client: Connect
) -> None:
    group, item = await client(), await client()
    group.join()
    item.join(id="m1")
    await group.envelopes(1)
    await item.envelopes(1)
    await worker.result("stream::send", {**GROUP, "type": "typing", "data": {"by": "a"}})
    await worker.result("stream::send", {**GROUP, "id": "m1", "type": "seen", "data": None})
    first, second = await group.envelopes(2)
    expected = {"type": "event", "event": {"type": "typing", "data": {"by": "a"}}}
    assert (first["id"], first["event"]) == (None, expected)
    assert (second["id"], second["event"]["event"]) == ("m1", {"type": "seen", "data": None})
    assert [each["seq"] for each in item.take()] == [second["seq"]]


async def test_two_subscriptions_of_one_client_get_everything_twice(
    worker: StoreWorker, client: Connect
) -> None:
    follower = await client()
    follower.join("a")
    follower.join("b")
    await follower.envelopes(2)
    await worker.result("stream::set", {**AT, "data": 1})
    assert await follower.events(2) == [{"type": "create", "data": 1}] * 2


async def test_the_same_subscription_id_again_takes_the_place_of_the_first(
    worker: StoreWorker, client: Connect
) -> None:
    follower = await client()
    follower.join("a", "g")
    follower.join("a", "h")
    await follower.envelopes(2 if follower.frames else 1)
    await worker.result("stream::set", {**AT, "data": 1})
    await worker.result("stream::set", {**AT, "group_id": "h", "data": 2})
    assert [each["event"]["data"] for each in await follower.envelopes(1)] == [2]


async def test_who_has_left_gets_nothing(worker: StoreWorker, client: Connect) -> None:
    follower = await client()
    follower.join()
    await follower.envelopes(1)
    follower.leave("unknown")
    follower.leave()
    await worker.result("stream::set", {**AT, "data": 1})
    assert follower.take() == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"garbage",
        b"[]",
        b'{"type":"jump","data":{}}',
        b'{"type":"join"}',
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"chat"}}',
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"chat","groupId":5}}',
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"a\\u0000","groupId":"g"}}',
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"chat","groupId":"%b"}}'
        % (b"x" * 1025),
        b'{"type":"join","data":{"subscriptionId":"\xff","streamName":"chat","groupId":"g"}}',
    ],
)
async def test_a_join_works_after_garbage(client: Connect, garbage: bytes) -> None:
    follower = await client()
    follower.send(garbage)
    follower.send_binary(garbage)
    follower.send_binary(
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"chat","groupId":"g","id":null}}'
    )
    assert await follower.events(1) == [{"type": "sync", "data": []}]


async def test_numbers_grow_with_every_envelope_of_a_group(
    worker: StoreWorker, client: Connect
) -> None:
    follower = await client()
    follower.join()
    for number in range(20):
        await worker.result("stream::set", {**AT, "data": number})
        await worker.result("stream::send", {**GROUP, "type": "t", "data": number})
    numbers = [each["seq"] for each in await follower.envelopes(41)]
    assert all(one < other for one, other in pairwise(numbers))
    assert 1_700_000_000_000_000 < numbers[0] < numbers[-1] < 2**53


async def test_clients_that_join_while_items_change_miss_nothing_and_see_nothing_twice(
    worker: StoreWorker, client: Connect
) -> None:
    """Whatever a client has been told gives the state at the end."""
    followers: list[Client] = []
    chance = random.Random(7)
    for number in range(300):
        item = f"m{chance.randrange(10)}"
        place = {**AT, "item_id": item}
        if chance.random() < 0.7:
            worker.void("stream::set", {**place, "data": {"id": item, "n": number}})
        else:
            worker.void("stream::delete", place)
        if number % 10 == 0:
            follower = await client()
            follower.join()
            followers.append(follower)
            await asyncio.sleep(0)
    await worker.result("stream::set", {**AT, "item_id": "end", "data": {"id": "end", "n": 0}})
    items = await worker.result("stream::list", GROUP)
    for follower in followers:
        told: dict[str, Any] = {}
        seen: list[int] = []
        for envelope in follower.take():
            seen.append(envelope["seq"])
            event = envelope["event"]
            if event["type"] == "sync":
                assert not told
                told = {item["id"]: item for item in event["data"]}
            elif event["type"] == "delete":
                assert told.pop(envelope["id"]) == event["data"]
            else:
                assert (envelope["id"] in told) == (event["type"] == "update"), envelope
                told[envelope["id"]] = event["data"]
        assert told == {item["id"]: item for item in items}
        assert seen == sorted(set(seen))


async def test_many_that_join_at_once_are_served_by_one_read(
    setting: Setting, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = next(each for each in setting.engine.modules if isinstance(each, StreamModule))
    assert module.store is not None
    reads: list[Any] = []
    read = module.store.list_in_turn

    def counted(group: Any, finish: Any) -> Any:
        reads.append(group)
        return read(group, finish)

    monkeypatch.setattr(module.store, "list_in_turn", counted)
    followers = [await client() for _ in range(50)]
    for follower in followers:
        follower.join()
    for follower in followers:
        assert await follower.events(1) == [{"type": "sync", "data": []}]
    assert len(reads) < 5 or not module.store.is_durable  # memory is read at once


# --- coming back --------------------------------------------------------------------------------


async def test_who_comes_back_gets_what_it_missed_and_no_sync(
    worker: StoreWorker, client: Connect
) -> None:
    follower = await client()
    follower.join()
    last = (await follower.envelopes(1))[0]["seq"]
    follower.close()
    for number in range(3):
        await worker.result("stream::set", {**AT, "data": number})
    await worker.result("stream::set", {**AT, "item_id": "m2", "data": 3})
    again = await client()
    again.join(since=last)
    await worker.result("stream::set", {**AT, "data": 4})
    envelopes = await again.envelopes(6)
    assert [each["event"]["type"] for each in envelopes] == [
        "create",
        "update",
        "update",
        "create",
        "resumed",
        "update",
    ]
    assert envelopes[4]["event"]["data"] == {"replayed": 4, "after_seq": last}
    numbers = [each["seq"] for each in envelopes]
    assert numbers == sorted(set(numbers))
    of_item = await client()
    of_item.join(since=numbers[0], id="m2")
    found = [(each["id"], each["event"]["type"]) for each in await of_item.envelopes(2)]
    assert found == [("m2", "create"), ("m2", "resumed")]


async def test_who_has_missed_nothing_is_only_told_so(client: Connect) -> None:
    follower = await client()
    follower.join()
    last = (await follower.envelopes(1))[0]["seq"]
    follower.close()
    again = await client()
    again.join(since=last)
    assert (await again.events(1))[0]["type"] == "resumed"


@pytest.mark.parametrize("since", [1, 2**60, "x", 1.5, True, None])
async def test_who_cannot_resume_gets_a_plain_sync(
    worker: StoreWorker, client: Connect, since: Any
) -> None:
    await worker.result("stream::set", {**AT, "data": 1})
    follower = await client()
    follower.join(since=since)
    assert await follower.events(1) == [{"type": "sync", "data": [1]}]


# --- slow clients -------------------------------------------------------------------------------


async def test_a_slow_client_is_told_what_it_lost_and_gets_what_is_there(
    worker: StoreWorker, client: Connect
) -> None:
    slow, quick = await client(), await client()
    for follower in (slow, quick):
        follower.join()
        await follower.envelopes(1)
    await worker.result("stream::set", {**AT, "data": 0})
    last = (await slow.envelopes(1))[0]["seq"]
    slow.is_slow = True
    count = outlet.MAX_QUEUED * 2 + 10
    for number in range(1, count + 1):
        worker.void("stream::send", {**GROUP, "type": "t", "data": number})
    await worker.result("stream::set", {**AT, "data": "last"})
    assert len(await quick.envelopes(count + 2)) == count + 2
    (first,) = slow.take()  # the one that filled the socket
    assert first["seq"] > last

    slow.read_again()
    lagged, sync = await slow.envelopes(2)
    assert lagged["event"] == {
        "type": "lagged",
        "data": {"dropped": count, "after_seq": first["seq"]},
    }
    assert sync["event"] == {"type": "sync", "data": ["last"]}
    assert sync["seq"] > lagged["seq"] > first["seq"]
    await worker.result("stream::set", {**AT, "data": "then"})
    assert await slow.events(1) == [{"type": "update", "data": "then"}]


async def test_what_waits_for_a_slow_client_arrives_if_it_is_not_too_much(
    worker: StoreWorker, client: Connect
) -> None:
    slow = await client()
    slow.join()
    await slow.envelopes(1)
    slow.is_slow = True
    for number in range(500):
        worker.void("stream::send", {**GROUP, "type": "t", "data": number})
    slow.read_again()
    found = [event["event"]["data"] for event in await slow.events(500)]
    assert found == list(range(500))


async def test_large_envelopes_count_by_their_size(worker: StoreWorker, client: Connect) -> None:
    slow = await client()
    slow.join()
    await slow.envelopes(1)
    slow.is_slow = True
    for _ in range(6):
        worker.void("stream::send", {**GROUP, "type": "t", "data": "x" * 1024 * 1024})
    slow.take()
    slow.read_again()
    lagged, sync = await slow.events(2)
    assert (lagged["data"]["dropped"], sync["type"]) == (5, "sync")


async def test_only_the_subscriptions_that_lost_something_are_told(
    worker: StoreWorker, client: Connect
) -> None:
    slow = await client()
    slow.join("busy", "g")
    slow.join("quiet", "h")
    await slow.envelopes(2)
    slow.is_slow = True
    for number in range(outlet.MAX_QUEUED + 2):
        worker.void("stream::send", {**GROUP, "type": "t", "data": number})
    slow.take()
    slow.read_again()
    envelopes = await slow.envelopes(2)
    assert [(each["groupId"], each["event"]["type"]) for each in envelopes] == [
        ("g", "lagged"),
        ("g", "sync"),
    ]


async def test_a_slow_client_with_many_subscriptions_recovers_all(
    worker: StoreWorker, client: Connect
) -> None:
    slow = await client()
    count = outlet.MAX_QUEUED + 2
    for number in range(count):
        slow.join(f"s{number}")
    await slow.envelopes(count)
    slow.is_slow = True
    worker.void("stream::send", {**GROUP, "type": "t", "data": 1})
    slow.take()
    slow.read_again()
    kinds = [event["type"] for event in await slow.events(2 * (count - 1))]
    assert kinds == ["lagged", "sync"] * (count - 1)
    slow.close()
    assert json.dumps((await worker.result("stream::subscribers", {}))["count"]) == "0"


# --- whatever happens ---------------------------------------------------------------------------


class Page:
    """A client that shows what it was told, as a browser's page does, and comes back at will."""

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self.seen = 0
        self.kinds: set[str] = set()

    async def connect(self, client: Connect) -> None:
        self.client = await client()
        self.client.join(since=self.seen or None)

    def read(self) -> None:
        for envelope in self.client.take():
            kind, data = envelope["event"]["type"], envelope["event"].get("data")
            self.kinds.add(kind)
            assert envelope["seq"] > self.seen
            if kind != "lagged":
                self.seen = envelope["seq"]
            if kind == "sync":
                self.items = {item["id"]: item for item in data}
            elif kind == "delete":
                assert self.items.pop(envelope["id"]) == data
            elif kind in {"create", "update"}:
                assert (envelope["id"] in self.items) == (kind == "update")
                self.items[envelope["id"]] = data


@pytest.mark.parametrize("seed", range(3))
async def test_a_page_shows_what_is_there_however_slow_it_is_and_often_it_comes_back(
    worker: StoreWorker, client: Connect, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(outlet, "MAX_QUEUED", 4)
    monkeypatch.setattr(history, "MAX_EVENTS", 25)
    chance = random.Random(seed)
    pages = [Page() for _ in range(4)]
    for page in pages:
        await page.connect(client)
    for number in range(600):
        change_something(worker, chance, number)
        await do_something(chance.choice(pages), chance, client)
        if number % 15 == 0:
            await worker.result("stream::list", GROUP)  # what was changed is told by then
    for page in pages:
        page.client.read_again()
    await worker.result("stream::set", {**AT, "item_id": "end", "data": {"id": "end"}})
    items = {item["id"]: item for item in await worker.result("stream::list", GROUP)}
    for page in pages:
        await until_shown(page, items)
    assert set().union(*(page.kinds for page in pages)) >= {"sync", "resumed", "lagged"}


def change_something(worker: StoreWorker, chance: random.Random, number: int) -> None:
    item = f"m{chance.randrange(6)}"
    if chance.random() < 0.7:
        data = {"id": item, "n": number}
        worker.void("stream::set", {**AT, "item_id": item, "data": data})
    else:
        worker.void("stream::delete", {**AT, "item_id": item})


async def do_something(page: Page, chance: random.Random, client: Connect) -> None:
    what = chance.randrange(12)
    if what < 2:
        page.client.is_slow = True
    elif what == 2 and page.client.is_slow:
        page.client.read_again()
    elif what == 3:
        page.read()
    elif what == 4:
        page.read()
        page.client.close()
        await page.connect(client)


async def until_shown(page: Page, items: dict[str, Any]) -> None:
    async with asyncio.timeout(10):
        while page.items != items:
            page.read()
            await asyncio.sleep(0.001)
