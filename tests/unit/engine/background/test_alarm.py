from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from engine.background.alarm import Alarm

LONG_S = 10.0


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm()
    yield alarm
    alarm.close()


def slept_s(alarm: Alarm, timeout_s: float, other: int | None = None) -> float:
    began = time.monotonic()
    alarm.sleep(timeout_s, other)
    return time.monotonic() - began


def test_a_sleep_lasts_as_long_as_it_was_to(alarm: Alarm) -> None:
    assert 0.05 <= slept_s(alarm, 0.05) < LONG_S


def test_no_time_at_all_is_no_sleep(alarm: Alarm) -> None:
    assert slept_s(alarm, -1.0) < LONG_S


def test_another_thread_ends_the_sleep(alarm: Alarm) -> None:
    timer = threading.Timer(0.02, alarm.ring)
    timer.start()

    assert slept_s(alarm, LONG_S) < LONG_S / 2
    timer.join()


def test_rings_while_awake_end_one_sleep(alarm: Alarm) -> None:
    for _ in range(3):
        alarm.ring()

    assert slept_s(alarm, LONG_S) < LONG_S / 2
    assert slept_s(alarm, 0.05) >= 0.05


def test_more_rings_than_anybody_counts_hold_nobody_up(alarm: Alarm) -> None:
    for _ in range(100_000):
        alarm.ring()

    alarm.sleep(LONG_S)
    assert slept_s(alarm, 0.05) >= 0.05


def test_something_to_read_ends_the_sleep(alarm: Alarm) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.send(b"news")

        assert slept_s(alarm, LONG_S, reader.fileno()) < LONG_S / 2


def test_a_ring_after_the_end_is_of_no_effect(alarm: Alarm) -> None:
    alarm.close()
    alarm.ring()
