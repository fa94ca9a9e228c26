"""The seven fields of a cron expression: what each takes, and how it is spelled.

The values of a field are one integer, a set of bits: bit `n` stands for the value `n`, in the
field of years for the year 1970 + `n`. That is small, and the next value is found by a shift.

Source: modules.md section 8.3 of the iii reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2100

MONTH_NAMES: Final = {
    1: "January",
    2: "February",
    3: "March",
    4: "April",
    5: "May",
    6: "June",
    7: "July",
    8: "August",
    9: "September",
    10: "October",
    11: "November",
    12: "December",
}
WEEKDAY_NAMES: Final = {
    1: "Sunday",
    2: "Monday",
    3: "Tuesday",
    4: "Wednesday",
    5: "Thursday",
    6: "Friday",
    7: "Saturday",
}


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of an expression.

    Attributes:
        name: how errors call it.
        first: its lowest value.
        last: its highest value; no step may be above it.
        names: words for its values, in lower case; the first of a value is used to spell it.
        bit_zero: the value that bit 0 stands for.
        takes_question_mark: whether `?` means the same as `*`.
        is_zero_first: whether 0 is accepted for the lowest value, which is 1.
        is_cyclic: whether its first value follows its last.
    """

    name: str
    first: int
    last: int
    names: Mapping[str, int] = field(default_factory=dict)
    bit_zero: int = 0
    takes_question_mark: bool = False
    is_zero_first: bool = False
    is_cyclic: bool = True

    @property
    def all_values(self) -> int:
        """Every value, as bits."""
        return ((2 << self.last - self.first) - 1) << (self.first - self.bit_zero)

    def bits(self, values: Iterable[int]) -> int:
        """Return values as bits."""
        return sum(1 << (value - self.bit_zero) for value in set(values))

    def values(self, bits: int) -> list[int]:
        """Return the values of bits, in their order."""
        return [n for n in range(self.first, self.last + 1) if bits >> (n - self.bit_zero) & 1]

    def spell(self, bits: int) -> str:
        """Return the one text for these values: `*`, a step, or ranges and values in order.

        Months and weekdays are spelled by name: numbers of weekdays mean other days elsewhere.
        """
        if bits == self.all_values:
            return "*"
        values = self.values(bits)
        return self._spell_steps(values) or ",".join(
            self.label(first) if first == last else f"{self.label(first)}-{self.label(last)}"
            for first, last in runs(values)
        )

    def is_every(self, values: list[int], step: int) -> bool:
        """Whether the values are a step apart all round, the last and the first too."""
        every = list(range(self.first, self.last + 1, step))
        return values == every and (self.last + 1 - self.first) % step == 0

    def _spell_steps(self, values: list[int]) -> str | None:
        step = step_of(values)
        # A name takes no step (`tue/2`), and two values are read more easily as two values.
        if step < 2 or self.names or (len(values) == 2 and not self.is_every(values, step)):
            return None
        if values[-1] + step <= self.last:
            return f"{values[0]}-{values[-1]}/{step}"
        return f"*/{step}" if values[0] == self.first else f"{values[0]}/{step}"

    def label(self, value: int) -> str:
        """Return a value as it is spelled: its name in three letters, or its number."""
        names = (name for name, named in self.names.items() if named == value)
        return next(names, str(value)).upper()


def runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending values as ranges without holes: `(first, last)`, both inclusive."""
    found: list[tuple[int, int]] = []
    for value in values:
        if found and value == found[-1][1] + 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found


def step_of(values: list[int]) -> int:
    """Return how far apart ascending values are; 0 if that differs or there is only one."""
    steps = {after - before for before, after in itertools.pairwise(values)}
    return steps.pop() if len(steps) == 1 else 0


def _spellings(names: Mapping[int, str]) -> dict[str, int]:
    """Return the values by their names of three letters, then by the full ones, in lower case."""
    short = {name[:3].lower(): value for value, name in names.items()}
    return short | {name.lower(): value for value, name in names.items()}


_WEEKDAYS: Final = _spellings(WEEKDAY_NAMES) | {"tues": 3, "thurs": 5}

SECOND: Final = Field("seconds", 0, 59)
MINUTE: Final = Field("minutes", 0, 59)
HOUR: Final = Field("hours", 0, 23)
DAY: Final = Field("day of month", 1, 31, takes_question_mark=True)
MONTH: Final = Field("month", 1, 12, _spellings(MONTH_NAMES))
WEEKDAY: Final = Field("day of week", 1, 7, _WEEKDAYS, takes_question_mark=True, is_zero_first=True)
YEAR: Final = Field("year", FIRST_YEAR, LAST_YEAR, bit_zero=FIRST_YEAR, is_cyclic=False)

FIELDS: Final = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR)
"""The fields in the order in which they are written."""

UNIX_WEEKDAY: Final = Field(
    "day of week", 0, 7, {name: value - 1 for name, value in _WEEKDAYS.items()}
)
"""The weekdays of five-field expressions: 0 and 7 are Sunday, 5 is Friday."""
