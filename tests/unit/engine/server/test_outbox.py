"""The queue policy alone, with a peer that takes what it is told to."""

from __future__ import annotations

import pytest

from engine.core.outgoing import Outgoing
from engine.server.outbox import DEFAULT_LIMITS, Outbox, OutboxLimits

MIB = 1024 * 1024


class FakeOutbox(Outbox):
    """Keeps frames until `take`; a flush takes `flushable` of them."""

    def __init__(self, limits: OutboxLimits) -> None:
        super().__init__(limits)
        self.frames: list[bytes] = []
        self.flushable = 0
        self.is_given_up = False
        self.taken = 0

    @property
    def is_open(self) -> bool:
        return not self.is_given_up

    def take(self, count: int) -> None:
        for _ in range(min(count, len(self.frames))):
            self.queued_bytes -= len(self.frames.pop(0))
            self.queued_messages -= 1
            self.taken += 1

    def flush(self) -> None:
        self.take(self.flushable)

    def _append(self, frame: Outgoing) -> None:
        self.frames.append(bytes(frame))
        self.queued_messages += 1
        self.queued_bytes += len(frame)

    def _progress(self) -> object:
        return self.taken

    def _give_up(self) -> None:
        self.is_given_up = True


def outbox(messages: int = 4, size: int = 100) -> FakeOutbox:
    return FakeOutbox(OutboxLimits(messages=messages, size=size))


def test_the_limits_are_4096_messages_16_mib_and_a_minute() -> None:
    assert OutboxLimits(messages=4096, size=16 * MIB, stall_s=60) == DEFAULT_LIMITS


def test_offers_are_refused_beyond_the_messages() -> None:
    queue = outbox()

    assert [queue.offer(b"x") for _ in range(6)] == [True] * 4 + [False] * 2
    assert queue.queued_messages == 4


def test_offers_are_refused_beyond_the_bytes() -> None:
    queue = outbox()

    assert [queue.offer(b"x" * 40) for _ in range(3)] == [True, True, False]
    assert queue.offer(b"x" * 20)
    assert not queue.offer(b"x")


def test_one_larger_message_is_taken_alone() -> None:
    queue = outbox()

    assert queue.offer(b"x" * 1000)
    assert not queue.offer(b"x")


def test_a_full_queue_is_flushed_before_it_refuses() -> None:
    queue = outbox()
    queue.flushable = 2

    assert [queue.offer(b"x") for _ in range(9)] == [True] * 9
    assert queue.queued_messages <= 4


def test_pushes_may_use_twice_the_messages() -> None:
    queue = outbox()

    for _ in range(8):
        queue.push(b"x")
    given_up_at_the_limit = queue.is_given_up
    queue.push(b"x")

    assert (given_up_at_the_limit, queue.is_given_up) == (False, True)
    assert queue.queued_messages == 8


def test_pushes_may_use_twice_the_bytes() -> None:
    queue = outbox()

    for _ in range(4):
        queue.push(b"x" * 50)
    given_up_at_the_limit = queue.is_given_up
    queue.push(b"x")

    assert (given_up_at_the_limit, queue.is_given_up) == (False, True)


def test_a_push_of_any_size_is_taken_while_the_limit_is_not_passed() -> None:
    queue = outbox()
    queue.offer(b"x" * 90)

    queue.push(b"x" * 5000)

    assert queue.is_open
    assert queue.queued_bytes == 5090


def test_a_closed_queue_takes_nothing() -> None:
    queue = outbox()
    queue.is_given_up = True

    queue.push(b"x")

    assert not queue.offer(b"x")
    assert queue.frames == []


@pytest.mark.parametrize(
    ("messages", "size", "is_full", "is_half_empty"),
    [
        (0, 0, False, True),
        (2, 50, False, True),
        (3, 50, False, False),
        (2, 51, False, False),
        (4, 4, True, False),
        (1, 100, True, False),
    ],
)
def test_full_and_half_empty(messages: int, size: int, is_full: bool, is_half_empty: bool) -> None:
    queue = outbox()
    queue.queued_messages, queue.queued_bytes = messages, size

    assert (queue.is_full, queue.is_half_empty) == (is_full, is_half_empty)


class TestStall:
    async def test_gives_up_after_four_checks_without_progress(self) -> None:
        queue = outbox()
        queue.offer(b"x")
        queue._watch()

        for _ in range(3):
            queue._check_progress()
        before = queue.is_given_up
        queue._check_progress()

        assert (before, queue.is_given_up) == (False, True)

    async def test_counts_anew_after_any_progress(self) -> None:
        queue = outbox()
        for _ in range(4):
            queue.offer(b"x")
        queue._watch()

        for _ in range(3):
            queue._check_progress()
        queue.take(1)
        for _ in range(4):
            queue._check_progress()

        assert not queue.is_given_up
        queue._stop_watching()

    async def test_stops_watching_an_empty_queue(self) -> None:
        queue = outbox()
        queue.offer(b"x")
        queue._watch()
        queue.take(1)

        queue._check_progress()

        assert queue._stall_timer is None
