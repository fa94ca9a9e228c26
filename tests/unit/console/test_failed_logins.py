"""The limit of failed logins."""

from __future__ import annotations

import pytest

from console.failed_logins import MAX_FAILURES, MAX_KEPT, WINDOW_S, FailedLogins


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> FailedLogins:
    return FailedLogins(clock)


def fail(logins: FailedLogins, times: int, account: str = "ada", address: str = "::1") -> list[int]:
    return [logins.begin(account, address) for _ in range(times)]


def test_too_many_failures_end_with_a_wait(logins: FailedLogins, clock: Clock) -> None:
    assert fail(logins, MAX_FAILURES) == [0] * MAX_FAILURES
    assert fail(logins, 2) == [WINDOW_S, WINDOW_S]

    clock.now += WINDOW_S - 0.5
    assert fail(logins, 1) == [1]
    clock.now += 0.5
    assert fail(logins, 1) == [0]


def test_other_names_and_addresses_are_not_held_up(logins: FailedLogins) -> None:
    fail(logins, MAX_FAILURES)

    assert logins.begin("grace", "::1") == 0
    assert logins.begin("ada", "10.0.0.1") == 0


def test_neighbours_in_an_ipv6_network_count_as_one(logins: FailedLogins) -> None:
    fail(logins, MAX_FAILURES, address="2001:db8::1")

    assert logins.begin("ada", "2001:db8::ffff:2") == WINDOW_S
    assert logins.begin("ada", "2001:db8:0:1::1") == 0


def test_an_ipv4_address_is_the_same_in_either_spelling(logins: FailedLogins) -> None:
    fail(logins, MAX_FAILURES, address="10.0.0.1")

    assert logins.begin("ada", "::ffff:10.0.0.1") == WINDOW_S
    assert logins.begin("ada", "::ffff:10.0.0.2") == 0


def test_a_success_forgives(logins: FailedLogins) -> None:
    fail(logins, MAX_FAILURES)
    logins.succeed("ada", "::1")

    assert fail(logins, MAX_FAILURES) == [0] * MAX_FAILURES


def test_who_failed_first_is_forgotten_first_when_there_are_too_many(logins: FailedLogins) -> None:
    fail(logins, MAX_FAILURES)
    fail(logins, MAX_FAILURES, "grace")
    for each in range(MAX_KEPT - 1):
        logins.begin(str(each), "::1")

    assert logins.begin("grace", "::1") == WINDOW_S
    assert logins.begin("ada", "::1") == 0
