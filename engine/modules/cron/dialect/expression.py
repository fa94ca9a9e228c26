"""A cron expression: read once, then a value that says which seconds it names.

Seven fields, separated by white space: second, minute, hour, day of month, month, day of week
(1 = Sunday) and year, which may be left out. Both day fields have to match. Upper and lower case
are the same.

Source: modules.md section 8.3 of the iii reference, and its section "Observed on running engines".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from engine.core.modules import nearest
from engine.modules.cron.dialect.field_parsing import (
    CACHED_FIELDS,
    InvalidExpression,
    parse_field,
    shown,
)
from engine.modules.cron.dialect.fields import (
    DAY,
    FIELDS,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    UNIX_WEEKDAY,
    WEEKDAY,
    YEAR,
    Field,
)

MAX_LENGTH: Final = 2_000
"""Characters of an expression; every value of every field, written out, takes 1,300."""

FORM: Final = "second minute hour day-of-month month day-of-week year"

SHORTHANDS: Final = {
    "@yearly": "0 0 0 1 1 * *",
    "@annually": "0 0 0 1 1 * *",
    "@monthly": "0 0 0 1 * * *",
    "@weekly": "0 0 0 * * sun *",
    "@daily": "0 0 0 * * * *",
    "@midnight": "0 0 0 * * * *",
    "@hourly": "0 0 * * * * *",
}

_NOT_FIXED: Final = frozenset("*-/")

_spell: Final = lru_cache(maxsize=CACHED_FIELDS)(Field.spell)


class Expression(msgspec.Struct, frozen=True, gc=False):
    """The seconds that a cron expression names; two spellings of one rule are equal.

    Attributes:
        seconds: bit `n` is set if the second `n` belongs to it; all others in the same way.
        minutes: 0 to 59.
        hours: 0 to 23.
        days: of the month, 1 to 31.
        months: 1 to 12.
        weekdays: 1 (Sunday) to 7.
        years: bit `n` stands for the year 1970 + `n`, up to 2100.
        has_fixed_hours: whether the hours are named one by one, or only one is left. That
            decides what happens when clocks are changed, see `occurrences.next_after`; so `1,2`
            and `1-2` in the field of hours are two rules, `0,30` and `*/30` for seconds are one.
    """

    seconds: int
    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    years: int
    has_fixed_hours: bool

    @property
    def canonical(self) -> str:
        """The one text with seven fields that all spellings of this rule have in common."""
        hours = _spell_fixed_hours if self.has_fixed_hours else _spell_hours
        return " ".join(
            (
                _spell(SECOND, self.seconds),
                _spell(MINUTE, self.minutes),
                hours(self.hours),
                _spell(DAY, self.days),
                _spell(MONTH, self.months),
                _spell(WEEKDAY, self.weekdays),
                _spell(YEAR, self.years),
            )
        )


def parse_expression(text: str) -> Expression:
    """Read a cron expression of six or seven fields, or a shorthand such as `@daily`.

    Raises:
        InvalidExpression: it is empty or too long, has another number of fields, or one of them
            cannot be read.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidExpression(
            f"the expression has {len(text)} characters, at most {MAX_LENGTH} are allowed; "
            "write lists as ranges or steps"
        )
    texts = text.lower().split()
    if texts and texts[0].startswith("@"):
        texts = _expand(" ".join(texts)).split()
    if len(texts) == len(FIELDS) - 1:
        texts.append("*")
    if len(texts) != len(FIELDS):
        raise _wrong_number(texts)
    bits = [parse_field(each, field_text) for each, field_text in zip(FIELDS, texts, strict=True)]
    seconds, minutes, hours, days, months, weekdays, years = bits
    is_single = hours.bit_count() == 1
    is_fixed = is_single or _NOT_FIXED.isdisjoint(texts[FIELDS.index(HOUR)])
    return Expression(seconds, minutes, hours, days, months, weekdays, years, is_fixed)


def _spell_fixed_hours(bits: int) -> str:
    return ",".join(map(str, HOUR.values(bits)))


def _spell_hours(bits: int) -> str:
    text = _spell(HOUR, bits)
    if not _NOT_FIXED.isdisjoint(text):
        return text
    # What came from steps, as in `1-3/2,8`, would be read as fixed hours without any range.
    first, comma, others = text.partition(",")
    return f"{first}-{first}{comma}{others}"


def _expand(shorthand: str) -> str:
    if shorthand in SHORTHANDS:
        return SHORTHANDS[shorthand]
    if shorthand == "@reboot":
        raise InvalidExpression(
            "`@reboot` names no time: workers come and go while the engine runs; "
            "call the function when the worker starts"
        )
    if shorthand.startswith("@every"):
        raise InvalidExpression(
            f"{shown(shorthand)} is not part of this dialect; write a step, "
            "as in `*/30 * * * * * *` for every 30 seconds"
        )
    near = nearest(shorthand, SHORTHANDS)
    hint = f"; did you mean `{near}`?" if near else ""
    raise InvalidExpression(
        f"the shorthand {shown(shorthand)} is unknown; there are {', '.join(SHORTHANDS)}{hint}"
    )


def _wrong_number(texts: list[str]) -> InvalidExpression:
    if not texts:
        return InvalidExpression(f"the expression is empty; write {FORM}")
    if any(each.startswith(",") or each.endswith(",") for each in texts):
        hint = "write lists without white space, as in `1,2`"
    elif len(texts) == 5 and (form := _seven_fields(texts)) is not None:
        hint = f"with seconds and year it is {form}"
    else:
        hint = "`0 30 9 * * * *` is every day at 09:30"
    count = f"{len(texts)} field" if len(texts) == 1 else f"{len(texts)} fields"
    return InvalidExpression(
        f"the expression has {count}, it needs 7 ({FORM}) or 6 without the year; {hint}"
    )


def _seven_fields(texts: list[str]) -> str | None:
    """Return what a five-field expression means elsewhere; None if it cannot be said here.

    Weekdays are counted from 0 = Sunday there, so they are named. One of two day fields is enough
    there, which cannot be said in one expression; so it is only pointed out.
    """
    *others, weekday = texts
    try:
        days = {1 + value % 7 for value in UNIX_WEEKDAY.values(parse_field(UNIX_WEEKDAY, weekday))}
        form = " ".join(("0", *others, WEEKDAY.spell(WEEKDAY.bits(days)), "*"))
        meant = parse_expression(form)
    except InvalidExpression:
        return None
    has_both = meant.days != DAY.all_values and meant.weekdays != WEEKDAY.all_values
    return f"`{form}`{' (both day fields have to match)' if has_both else ''}"
