"""The hub numbers events, keeps the latest, and gives them to whoever follows."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from streams import hub as hub_module
from streams.hub import Hub
from streams.outlet import Outlet
from streams.protocol import Place
from streams.subscription import Subscription

GROUP = ("chat", "g")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_700_000_000_000
        monkeypatch.setattr(hub_module, "now_ms", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Socket:
    """Takes everything."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def offer(self, frame: bytes) -> bool:
        self.frames.append(frame)
        return True

    def write(self, is_text: bool, payload: bytes) -> bool:
        return self.offer(payload)

    @property
    def numbers(self) -> list[int]:
        return [json.loads(frame)["seq"] for frame in self.frames]


def follow(hub: Hub, item_id: str | None = None) -> tuple[Subscription, Socket]:
    socket = Socket()
    place = Place("s", *GROUP, item_id)
    subscription = Subscription(place, "c", Outlet(socket, lambda _: None), 0)
    subscription.go_live()
    hub.add(subscription)
    return subscription, socket


def test_numbers_grow_however_the_clock_goes(clock: Clock) -> None:
    hub = Hub()
    numbers = []
    for moved in (0, 0, 5, -1_000, 0):
        clock.now += moved
        numbers.append(hub.record(GROUP, None, b"{}").seq)
    assert all(one < other for one, other in pairwise(numbers))
    assert numbers[2] == (1_700_000_000_000 + 5) * 1_000


def test_a_restart_goes_on_behind_all_numbers(clock: Clock) -> None:
    first = Hub()
    last = [first.record(GROUP, None, b"{}").seq for _ in range(500)][-1]
    clock.now += 1
    assert Hub().next_seq() > last


def test_an_envelope_says_what_happened_where(clock: Clock) -> None:
    event = Hub().record(("ch:at", 'g"1'), "m1", b'{"type":"create","data":1}')
    envelope: dict[str, Any] = json.loads(event.frame)
    assert envelope == {
        "type": "stream",
        "timestamp": clock.now,
        "streamName": "ch:at",
        "groupId": 'g"1',
        "id": "m1",
        "event": {"type": "create", "data": 1},
        "seq": event.seq,
    }
    assert list(envelope) == [
        "type",
        "timestamp",
        "streamName",
        "groupId",
        "id",
        "event",
        "seq",
    ]


def test_an_event_reaches_the_group_and_its_item_only() -> None:
    hub = Hub()
    (_, group), (_, item), (gone, former) = follow(hub), follow(hub, "m1"), follow(hub, "m1")
    hub.remove(gone)
    for item_id in ("m1", "m2", None):
        hub.deliver(GROUP, hub.record(GROUP, item_id, b"{}"))
    other = ("chat", "h")
    hub.deliver(other, hub.record(other, "m1", b"{}"))
    assert (len(group.frames), len(item.frames), former.frames) == (3, 1, [])


def test_a_group_that_was_quiet_for_longest_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "MAX_HISTORY_BYTES", 20_000)
    hub = Hub()
    start = hub.next_seq()
    names = [("chat", f"g{number}") for number in range(30)]
    last = {name: hub.record(name, None, b"{}").seq for name in names}
    newest = last[names[-1]]
    found = hub.since(names[-1], newest - 1, None)
    assert found is not None
    assert [event.seq for event in found] == [newest]
    assert hub.since(names[0], start, None) is None
    # What was forgotten was before this: nothing is missing.
    assert hub.since(names[0], newest, None) == []


def test_a_group_that_is_followed_loses_its_history_but_no_follower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "MAX_HISTORY_BYTES", 20_000)
    hub = Hub()
    _, socket = follow(hub)
    first = hub.record(GROUP, None, b"{}")
    for number in range(30):
        hub.record(("chat", f"g{number}"), None, b"{}")
    assert hub.since(GROUP, first.seq - 1, None) is None
    assert hub.since(GROUP, first.seq, None) == []
    hub.deliver(GROUP, hub.record(GROUP, None, b"{}"))
    assert len(socket.frames) == 1


def test_a_number_that_was_never_given_out_is_not_known() -> None:
    hub = Hub()
    seq = hub.record(GROUP, None, b"{}").seq
    assert hub.since(GROUP, seq, None) == []
    assert hub.since(GROUP, seq + 10**9, None) is None


def test_nothing_is_kept_of_a_group_without_followers_and_events() -> None:
    hub = Hub()
    since = hub.next_seq()
    subscription, _ = follow(hub, "m1")
    assert list(hub.subscriptions("chat")) == [subscription]
    hub.remove(subscription)
    hub.remove(subscription)
    assert list(hub.subscriptions()) == []
    assert hub.since(GROUP, since, None) == []
