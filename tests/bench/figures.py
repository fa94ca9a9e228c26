"""Plain statistics over the figures of several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, with the lowest and the highest."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise the figures of one or more rounds."""
        return cls(median(values), min(values), max(values))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of an ascending sequence do not exceed (nearest rank).

    An empty sequence has the percentile 0: no call was answered.
    """
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def ratios(values: Sequence[float], references: Sequence[float]) -> list[float]:
    """Divide round by round, so that a slow moment of the machine falls on both sides."""
    return [
        value / reference if reference else 0.0
        for value, reference in zip(values, references, strict=True)
    ]
