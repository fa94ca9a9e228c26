"""How many calls are due at a steady rate."""

from __future__ import annotations

from tests.bench.pace import Pace


def test_calls_become_due_at_the_rate() -> None:
    pace = Pace(calls_per_s=100)

    assert [pace.due(now) for now in (5.0, 5.125, 5.25, 5.5)] == [0, 12, 13, 25]


def test_a_late_question_is_told_all_that_it_missed() -> None:
    pace = Pace(calls_per_s=1000)
    pace.due(5.0)

    assert (pace.due(7.0), pace.due(7.0)) == (2000, 0)


def test_parts_of_a_call_are_not_lost_between_questions() -> None:
    pace = Pace(calls_per_s=1)

    assert sum(pace.due(number / 8) for number in range(81)) == 10
