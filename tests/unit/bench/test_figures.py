"""Statistics of the benchmark."""

from __future__ import annotations

import pytest

from tests.bench.figures import Spread, percentile, ratios


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (50, 50), (95, 95), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_percentile_is_a_value_that_occurred(percent: float, value: float) -> None:
    assert percentile(range(1, 101), percent) == value


def test_a_single_value_is_every_percentile() -> None:
    assert [percentile([7.0], percent) for percent in (1, 50, 99)] == [7.0, 7.0, 7.0]


def test_no_values_have_the_percentile_zero() -> None:
    assert percentile([], 95) == 0.0


def test_a_spread_is_the_median_between_lowest_and_highest() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10.0, 40.0], [20.0, 50.0]) == [0.5, 0.8]


def test_a_reference_of_zero_gives_no_ratio() -> None:
    assert ratios([10.0], [0.0]) == [0.0]
