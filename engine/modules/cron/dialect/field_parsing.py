"""Reading one field of a cron expression, and saying what is wrong with it.

Source: modules.md section 8.3 of the iii reference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from engine.core.errors import EngineError
from engine.core.modules import nearest
from engine.modules.cron.dialect.fields import DAY, FIELDS, HOUR, WEEKDAY, Field

SHOWN_LENGTH: Final = 40
"""How much of a text from outside an error shows, in characters."""

CACHED_FIELDS: Final = 1024
"""Fields whose values, or texts, are remembered: most schedules share a few dozen of them."""

# `l`, `lw`, `5l`, `fril`: the last one; `w`, `15w`: the nearest working day. No name looks so.
_LAST: Final = re.compile(rf"(?:[0-9]+|{'|'.join(WEEKDAY.names)})?lw?")
_WORKING_DAY: Final = re.compile(r"[0-9]*w")
_NO_PART: Final = "is not part of this dialect"


class InvalidExpression(EngineError):
    """A cron expression cannot be read; the message names the field and the fix.

    Attributes:
        field: the name of the field that is wrong; None if it is the expression as a whole.
    """

    code = "invalid_expression"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message if field is None else f"{field}: {message}")
        self.field = field


@lru_cache(maxsize=CACHED_FIELDS)
def parse_field(field: Field, text: str) -> int:
    """Return the values, as bits, that a text in lower case names.

    Raises:
        InvalidExpression: the text is none of the forms of the dialect.
    """
    bits = 0
    for item in text.split(","):
        bits |= _parse_item(field, item)
    return bits


def _parse_item(field: Field, item: str) -> int:
    base, slash, step_text = item.partition("/")
    first, last = _bounds(field, base, is_stepped=bool(slash))
    step = _parse_step(field, step_text) if slash else 1
    return field.bits(range(first, last + 1, step))


def _bounds(field: Field, base: str, *, is_stepped: bool) -> tuple[int, int]:
    if not base:
        raise _error(field, "a value is missing; write `*`, or a list without white space")
    if base == "*" or (base == "?" and field.takes_question_mark):
        return field.first, field.last
    if "-" in base and base != "-":
        return _parse_range(field, base)
    value = _parse_value(field, base)
    if not is_stepped:
        return value, value
    if base in field.names:
        raise _error(
            field,
            f"{shown(base)} is a name, which takes no step; write the number, `{value}/…`, "
            f"or a range, `{field.label(value)}-{field.label(field.last)}/…`",
        )
    return value, field.last


def _parse_range(field: Field, text: str) -> tuple[int, int]:
    from_text, _, to_text = text.partition("-")
    if not from_text or not to_text:
        raise _error(field, f"{shown(text)} is half a range; write both ends, as in `a-b`")
    first, last = _parse_value(field, from_text), _parse_value(field, to_text)
    if (from_text in field.names) != (to_text in field.names):
        raise _error(
            field,
            f"{shown(text)} mixes a number and a name; write `{first}-{last}` "
            f"or `{field.label(first)}-{field.label(last)}`",
        )
    if field.is_zero_first and not from_text.strip("0"):
        # `0-5` is Sunday to Friday for all who count from 0, and would be to Thursday here.
        meant = min(int(to_text), field.last - 1) + 1
        raise _error(
            field,
            f"{shown(text)} counts from 0, but 1 is Sunday here, 7 Saturday; "
            f"write names, `{field.label(1)}-{field.label(meant)}`",
        )
    if first > last:
        raise _error(field, f"{shown(text)} runs backwards; write `{_unwrap(field, first, last)}`")
    return first, last


def _unwrap(field: Field, first: int, last: int) -> str:
    if not field.is_cyclic:
        return f"{last}-{first}"
    parts = ((first, field.last), (field.first, last))
    return ",".join(field.spell(field.bits(range(a, b + 1))) for a, b in parts)


def _parse_step(field: Field, text: str) -> int:
    if not _is_number(text):
        raise _error(field, f"{shown(text)} is no step; write a number from 1 to {field.last}")
    step = int(text)
    if not 1 <= step <= field.last:
        side = "0" if step == 0 else f"{shown(text)}, above {field.last}"
        raise _error(field, f"the step is {side}; write a number from 1 to {field.last}")
    return step


def _parse_value(field: Field, text: str) -> int:
    if text in field.names:
        return field.names[text]
    if not _is_number(text):
        raise _error(field, _explain(field, text))
    value = int(text)
    if value == 0 and field.is_zero_first:
        return field.first
    if not field.first <= value <= field.last:
        side = "above" if value > field.last else "below"
        limit = field.last if value > field.last else field.first
        hint = " (0 is midnight)" if field is HOUR and value == 24 else ""
        raise _error(
            field, f"{shown(text)} is {side} {limit}; write {field.first} to {field.last}{hint}"
        )
    return value


def _explain(field: Field, text: str) -> str:
    """Say what is wrong with a text that is neither a number nor a name of this field."""
    special = _explain_special(field, text)
    if special is not None:
        return special
    other = next((each for each in FIELDS if text in each.names), None)
    if other is not None:
        place = FIELDS.index(other) + 1
        return f"{shown(text)} is a {other.name}, which stands in field {place}"
    numbers = f"a number from {field.first} to {field.last}"
    if not field.names:
        return f"{shown(text)} is no number; write {numbers}, a range, a step or `*`"
    near = nearest(text, field.names)
    hint = f"; did you mean `{near}`?" if near else ""
    example = field.label(field.first)
    return f"{shown(text)} is unknown; write {numbers} or a name such as `{example}`{hint}"


def _explain_special(field: Field, text: str) -> str | None:
    if text == "?":
        return "`?` stands in the day fields only; write `*`"
    if "*" in text:
        return f"`*` stands alone or before a step, not in {shown(text)} or a range"
    if "#" in text:
        return f"{shown(text)}: `#` (the nth of a month) {_explain_nth(field, text)}"
    if _LAST.fullmatch(text):
        return f"{shown(text)}: `L` (the last one) {_NO_PART}; {_instead_of_last(field)}"
    if _WORKING_DAY.fullmatch(text):
        return (
            f"{shown(text)}: `W` (the nearest working day) {_NO_PART}; write days of the "
            "month and weekdays: both have to match"
        )
    return None


def _explain_nth(field: Field, text: str) -> str:
    weekday, _, nth = text.partition("#")
    is_plain = field is WEEKDAY and nth in {"1", "2", "3", "4", "5"}
    number = int(nth) if is_plain else 2
    days = DAY.spell(DAY.bits(range(7 * number - 6, min(7 * number, DAY.last) + 1)))
    example = weekday.upper() if is_plain else "FRI"
    return (
        f"{_NO_PART}; write `{example}` as the day of week and `{days}` as the day of month: "
        "both have to match"
    )


def _instead_of_last(field: Field) -> str:
    if field is DAY:
        return "write the days, as `31` with the months `1,3,5,7,8,10,12`"
    if field is WEEKDAY:
        return "write the weekday, and days such as `25-31`: both have to match"
    return f"write a number from {field.first} to {field.last}"


def _error(field: Field, message: str) -> InvalidExpression:
    return InvalidExpression(message, field.name)


def _is_number(text: str) -> bool:
    """Whether a text is digits only, as they stand on every keyboard."""
    return text.isascii() and text.isdigit()


def shown(text: str) -> str:
    """Return a text from outside as an error shows it: quoted, and not more than its start."""
    return f"`{text}`" if len(text) <= SHOWN_LENGTH else f"`{text[:SHOWN_LENGTH]}…`"
