from __future__ import annotations

from engine.modules.queue.adapters.in_flight import InFlight

ONE, OTHER = 1, 2


def take(in_flight: InFlight, settled: list[int], claimed: list[int]) -> list[int] | None:
    """Take a turn that succeeds; return what it was told is in flight."""
    known = in_flight.begin(ONE)
    in_flight.end(ONE, settled, claimed, is_certain=known is not None)
    return None if known is None else sorted(known)


def test_a_turn_is_told_nothing_while_there_is_no_doubt() -> None:
    in_flight = InFlight()
    assert take(in_flight, [], [10, 11]) is None
    assert take(in_flight, [10], [12]) is None
    assert not in_flight.doubtful


def test_after_a_failure_one_turn_is_told_what_is_in_flight() -> None:
    in_flight = InFlight()
    take(in_flight, [], [10, 11])
    take(in_flight, [10], [12])
    in_flight.begin(ONE)
    in_flight.fail(ONE)
    assert list(in_flight.doubtful) == [ONE]
    assert in_flight.begin(OTHER) is None
    assert take(in_flight, [11], []) == [11, 12]
    assert not in_flight.doubtful
    assert take(in_flight, [12], []) is None


def test_doubt_stays_until_a_turn_has_succeeded_that_was_alone() -> None:
    in_flight = InFlight()
    in_flight.begin(ONE)
    in_flight.begin(ONE)
    in_flight.fail(ONE)
    # The other one may claim something yet that this one would give back.
    assert in_flight.begin(ONE) is None
    in_flight.end(ONE, [], [10], is_certain=False)
    in_flight.end(ONE, [], [11], is_certain=False)
    assert list(in_flight.doubtful) == [ONE]
    assert sorted(in_flight.begin(ONE) or ()) == [10, 11]
    in_flight.fail(ONE)
    assert take(in_flight, [10, 11], []) == [10, 11]
