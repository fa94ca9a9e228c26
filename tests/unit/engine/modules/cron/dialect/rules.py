"""Random rules beside their values, worked out without the parser, to compare it with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from hypothesis import strategies as st

from engine.modules.cron.dialect.fields import MONTH_NAMES, WEEKDAY_NAMES

Values = frozenset[int]


@dataclass(frozen=True)
class FieldText:
    """A field as text and the values that it names; fixed if every one of them is named."""

    text: str
    values: Values
    is_fixed: bool


@dataclass(frozen=True)
class Rule:
    """A rule of seven fields as text, and the values of each in their order."""

    text: str
    values: tuple[Values, ...]
    has_fixed_hours: bool

    def has_date(self, day: date) -> bool:
        return (
            day.day in self.values[3]
            and day.month in self.values[4]
            and day.isoweekday() % 7 + 1 in self.values[5]
            and day.year in self.values[6]
        )

    def matches(self, wall: datetime) -> bool:
        return (
            wall.second in self.values[0]
            and wall.minute in self.values[1]
            and wall.hour in self.values[2]
            and self.has_date(wall)
        )


@st.composite
def items(
    draw: st.DrawFn, first: int, last: int, usual: st.SearchStrategy[int], names: dict[int, str]
) -> FieldText:
    """Return one item of a list: `*`, a value, a range or a step, by number or by name."""
    low, high = sorted((draw(usual), draw(usual)))
    step = draw(st.integers(1, last) | st.integers(1, 5))
    has_names = draw(st.booleans())

    def spelled(value: int) -> str:
        return spell_name(draw, names, value) if has_names else str(value)

    forms = {
        "*": (f"*/{step}", range(first, last + 1, step)),
        "from": (f"{low}/{step}", range(low, last + 1, step)),
        "range": (f"{spelled(low)}-{spelled(high)}", range(low, high + 1)),
        "steps": (f"{spelled(low)}-{spelled(high)}/{step}", range(low, high + 1, step)),
        "one": (spelled(low), range(low, low + 1)),
    }
    form = draw(st.sampled_from(sorted(forms)))
    text, values = forms[form]
    return FieldText(text, frozenset(values), is_fixed=form == "one")


def spell_name(draw: st.DrawFn, names: dict[int, str], value: int) -> str:
    if value not in names:
        return str(value)
    name = names[value]
    return draw(st.sampled_from([name, name.upper(), name[:3].lower(), name[:3]]))


def fields(
    first: int,
    last: int,
    *,
    usual: st.SearchStrategy[int] | None = None,
    names: dict[int, str] | None = None,
) -> st.SearchStrategy[FieldText]:
    """Return fields of one to three items, and often `*`."""
    item = items(first, last, st.integers(first, last) if usual is None else usual, names or {})
    everything = FieldText("*", frozenset(range(first, last + 1)), is_fixed=False)
    return st.just(everything) | st.lists(item, min_size=1, max_size=3).map(joined)


def joined(parts: list[FieldText]) -> FieldText:
    values = frozenset[int]().union(*(part.values for part in parts))
    text = ",".join(part.text for part in parts)
    return FieldText(text, values, is_fixed=all(part.is_fixed for part in parts))


def one(value: int) -> st.SearchStrategy[FieldText]:
    return st.just(FieldText(str(value), frozenset({value}), is_fixed=True))


SECONDS = fields(0, 59)
HOURS = fields(0, 23)
DAYS = fields(1, 31, usual=st.integers(1, 31) | st.integers(28, 31))
MONTHS = fields(1, 12, usual=st.integers(1, 12) | st.just(2), names=MONTH_NAMES)
WEEKDAYS = fields(1, 7, names=WEEKDAY_NAMES)
YEARS = fields(1970, 2100)


def rules(
    *,
    seconds: st.SearchStrategy[FieldText] = SECONDS,
    minutes: st.SearchStrategy[FieldText] = SECONDS,
    hours: st.SearchStrategy[FieldText] = HOURS,
    days: st.SearchStrategy[FieldText] = DAYS,
    months: st.SearchStrategy[FieldText] = MONTHS,
    weekdays: st.SearchStrategy[FieldText] = WEEKDAYS,
    years: st.SearchStrategy[FieldText] = YEARS,
) -> st.SearchStrategy[Rule]:
    """Return rules of which some fields may be held to less than all there is."""
    return st.tuples(seconds, minutes, hours, days, months, weekdays, years).map(as_rule)


def as_rule(parts: tuple[FieldText, ...]) -> Rule:
    hours = parts[2]
    return Rule(
        " ".join(part.text for part in parts),
        tuple(part.values for part in parts),
        has_fixed_hours=hours.is_fixed or len(hours.values) == 1,
    )
