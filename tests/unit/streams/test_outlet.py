"""What waits for a slow client, what is dropped, and who is refreshed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams import subscription as subscription_module
from streams.history import Event
from streams.outlet import MAX_QUEUED, MAX_QUEUED_BYTES, Outlet
from streams.protocol import Place
from streams.subscription import Subscription


class Socket:
    """Takes frames up to a number, and one more that fills it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.frames: list[bytes] = []

    def offer(self, frame: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.frames.append(frame)
        return True

    def write(self, is_text: bool, payload: bytes) -> bool:
        self.frames.append(payload)
        return False


class Setting:
    """An outlet, its socket, and what was asked to be refreshed."""

    def __init__(self, room: int = 0) -> None:
        self.socket = Socket(room)
        self.refreshed: list[Subscription] = []
        self.outlet = Outlet(self.socket, self.refreshed.append)

    def subscription(self, name: str = "s") -> Subscription:
        place = Place(name, "chat", "g")
        found = Subscription(place, "c", self.outlet, 0)
        found.go_live()
        return found

    def read(self, room: int) -> None:
        """Let the client read."""
        self.socket.room = room
        self.outlet.on_room()


def event(seq: int, size: int = 10) -> Event:
    return Event(seq, None, b"%d" % seq + b" " * size)


def test_what_finds_room_leaves_at_once() -> None:
    setting = Setting(room=2)
    subscription = setting.subscription()
    subscription.deliver(event(1))
    subscription.deliver(event(2))
    assert (len(setting.socket.frames), setting.outlet.queued) == (2, 0)
    assert subscription.sent_seq == 2


def test_what_is_too_much_is_dropped_and_the_client_refreshed_once() -> None:
    setting = Setting()
    subscription = setting.subscription()
    for seq in range(1, MAX_QUEUED + 5):
        subscription.deliver(event(seq))
    assert setting.outlet.queued == 0
    assert (subscription.dropped, subscription.sent_seq) == (MAX_QUEUED + 3, 1)
    assert setting.refreshed == []
    setting.read(10)
    setting.read(10)
    assert setting.refreshed == [subscription]


def test_one_large_envelope_may_wait_alone() -> None:
    setting = Setting()
    subscription = setting.subscription()
    subscription.deliver(event(1))
    subscription.deliver(event(2, MAX_QUEUED_BYTES + 1))
    assert (setting.outlet.queued, subscription.dropped) == (1, 0)
    subscription.deliver(event(3))
    assert (setting.outlet.queued, subscription.dropped) == (0, 2)


def test_subscriptions_are_refreshed_one_after_the_other() -> None:
    setting = Setting()
    one, other, gone = (setting.subscription(name) for name in ("one", "other", "gone"))
    for seq in range(MAX_QUEUED + 2):
        (one, other, gone)[seq % 3].deliver(event(seq))
    gone.is_over = True
    setting.outlet.forget(gone)
    setting.read(100)
    assert setting.refreshed == [other]
    setting.outlet.recovered(one)
    assert setting.refreshed == [other]
    setting.outlet.recovered(other)
    assert setting.refreshed == [other, one]


def test_what_waits_for_a_subscription_that_is_over_is_not_sent() -> None:
    setting = Setting()
    one, gone = setting.subscription("one"), setting.subscription("gone")
    for seq in range(1, 5):
        (one, gone)[seq % 2].deliver(event(seq))
    gone.is_over = True
    setting.read(10)
    assert [int(frame) for frame in setting.socket.frames] == [1, 2, 4]


def test_a_worker_that_takes_too_long_is_asked_again() -> None:
    setting = Setting(room=10_000)
    subscription = setting.subscription()
    subscription.hold()
    for seq in range(subscription_module.MAX_HELD + 2):
        subscription.deliver(event(seq))
    too_long = [subscription.has_waited_too_long]
    subscription.hold()
    too_long.append(subscription.has_waited_too_long)
    assert too_long == [True, False]
    subscription.deliver(event(9_999))
    assert [each.seq for each in subscription.go_live()] == [9_999]


@given(st.lists(st.integers(0, 1_500), max_size=12), st.data())
def test_whatever_a_client_reads_it_gets_events_in_order_or_knows_what_it_lost(
    bursts: list[int], data: st.DataObject
) -> None:
    setting = Setting(room=5)
    subscription = setting.subscription()
    seq = lost = 0
    for burst in bursts:
        for _ in range(burst):
            seq += 1
            subscription.deliver(event(seq))
        assert setting.outlet.queued <= MAX_QUEUED
        if data.draw(st.booleans()):
            setting.read(data.draw(st.integers(1, 2_000)))
        for each in setting.refreshed:
            lost += each.dropped
            each.dropped = 0
            each.go_live()
            setting.outlet.recovered(each)
        setting.refreshed.clear()
    numbers = [int(frame) for frame in setting.socket.frames]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + setting.outlet.queued + lost + subscription.dropped == seq
