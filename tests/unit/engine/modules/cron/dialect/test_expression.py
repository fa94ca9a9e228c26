"""Cron expressions: what is read, what is one and the same rule, what is refused and how."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import EngineError
from engine.modules.cron.dialect.expression import (
    MAX_LENGTH,
    SHORTHANDS,
    parse_expression,
)
from engine.modules.cron.dialect.field_parsing import InvalidExpression
from engine.modules.cron.dialect.fields import FIELDS, HOUR
from tests.unit.engine.modules.cron.dialect.rules import Rule, rules


def canonical(text: str) -> str:
    return parse_expression(text).canonical


def refusal(text: str) -> str:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("* * * * * * *", "* * * * * * *"),
        ("* * * * * *", "* * * * * * *"),
        ("  *  * \t* *\n* *   * ", "* * * * * * *"),
        ("0-59 0/1 */1 1-31 jan-dec sun-sat 1970-2100", "* * * * * * *"),
        ("* * * ? * ? *", "* * * * * * *"),
        ("*/30 * * * * * *", "*/30 * * * * * *"),
        ("0,30 * * * * * *", "*/30 * * * * * *"),
        ("30,0,30 * * * * * *", "*/30 * * * * * *"),
        ("0,59 * * * * * *", "0,59 * * * * * *"),
        ("0/20 05/5 * * * * *", "*/20 5/5 * * * * *"),
        ("10-50/20 10-45/10 * * * * *", "10/20 10-40/10 * * * * *"),
        ("5,1,2,3,3,50 2,1-4,3 * * * * *", "1-3,5,50 1-4 * * * * *"),
        ("0 0 * * * * *", "0 0 * * * * *"),
        ("0 0 09 * * * *", "0 0 9 * * * *"),
        ("0 0 0 1,2,3 * * *", "0 0 0 1-3 * * *"),
        ("0 0 0 ? JANUARY,feb,MaR mon *", "0 0 0 * JAN-MAR MON *"),
        ("0 0 0 * 1/3 * *", "0 0 0 * JAN,APR,JUL,OCT * *"),
        ("0 0 0 * * 2-6 *", "0 0 0 * * MON-FRI *"),
        ("0 0 0 * * Monday-friday *", "0 0 0 * * MON-FRI *"),
        ("0 0 0 * * thurs,TUES,thu *", "0 0 0 * * TUE,THU *"),
        ("0 0 0 * * mon-fri/2 *", "0 0 0 * * MON,WED,FRI *"),
        ("0 0 0 * * 0 *", "0 0 0 * * SUN *"),
        ("0 0 0 * * 00,7 *", "0 0 0 * * SUN,SAT *"),
        ("0 0 0 * * 0/3 *", "0 0 0 * * SUN,WED,SAT *"),
        ("0 0 0 * * * 2026", "0 0 0 * * * 2026"),
        ("0 0 0 * * * 2026-2026,2028", "0 0 0 * * * 2026,2028"),
        ("0 0 0 * * * 2026/2", "0 0 0 * * * 2026/2"),
        ("0 0 0 * * * 2099/2100", "0 0 0 * * * 2099"),
    ],
)
def test_spellings_of_one_rule_have_one_canonical_form(text: str, same: str) -> None:
    assert canonical(text) == same


@pytest.mark.parametrize(
    ("hours", "same", "is_fixed"),
    [
        ("2", "2", True),
        ("2,1,3", "1,2,3", True),
        ("2-2", "2", True),
        ("5/23", "5", True),
        (",".join(map(str, range(24))), ",".join(map(str, range(24))), True),
        ("0-23", "*", False),
        ("1-3", "1-3", False),
        ("1,2-3", "1-3", False),
        ("*/2", "*/2", False),
        ("*/12", "*/12", False),
        ("*/23", "0-0,23", False),
        ("1-3/2", "1-1,3", False),
        ("1-3/2,8", "1-1,3,8", False),
        ("1-7/3", "1-7/3", False),
    ],
)
def test_hours_named_one_by_one_stay_apart_from_ranges_and_steps(
    hours: str, same: str, is_fixed: bool
) -> None:
    # Clock changes make them two rules, see test_occurrences.py.
    expression = parse_expression(f"0 0 {hours} * * *")
    assert (expression.canonical, expression.has_fixed_hours) == (f"0 0 {same} * * * *", is_fixed)


@pytest.mark.parametrize(
    ("shorthand", "same"),
    [
        ("@yearly", "0 0 0 1 JAN * *"),
        ("@annually", "0 0 0 1 JAN * *"),
        ("@monthly", "0 0 0 1 * * *"),
        ("@weekly", "0 0 0 * * SUN *"),
        ("@daily", "0 0 0 * * * *"),
        (" @Midnight ", "0 0 0 * * * *"),
        ("@HOURLY", "0 0 * * * * *"),
    ],
)
def test_a_shorthand_is_the_rule_that_it_stands_for(shorthand: str, same: str) -> None:
    assert canonical(shorthand) == same


def test_a_rule_is_a_value() -> None:
    rule, same = parse_expression("0 0 9 * * MON *"), parse_expression("0 0 09 ? * 2")
    assert (rule, hash(rule)) == (same, hash(same))
    assert rule != parse_expression("0 0 9 * * TUE *")
    with pytest.raises(AttributeError):
        rule.hours = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60 * * * * * *", "seconds: `60` is above 59; write 0 to 59"),
        ("* 99 * * * * *", "minutes: `99` is above 59; write 0 to 59"),
        ("* * 24 * * * *", "hours: `24` is above 23; write 0 to 23 (0 is midnight)"),
        ("* * * 0 * * *", "day of month: `0` is below 1; write 1 to 31"),
        ("* * * 1-32 * * *", "day of month: `32` is above 31; write 1 to 31"),
        ("* * * * 13 * *", "month: `13` is above 12; write 1 to 12"),
        ("* * * * * 8 *", "day of week: `8` is above 7; write 1 to 7"),
        ("* * * * * * 1969", "year: `1969` is below 1970; write 1970 to 2100"),
        ("* * * * * * 26", "year: `26` is below 1970; write 1970 to 2100"),
        ("* * * * * * 2101", "year: `2101` is above 2100; write 1970 to 2100"),
        ("*/0 * * * * * *", "seconds: the step is 0; write a number from 1 to 59"),
        ("*/60 * * * * * *", "seconds: the step is `60`, above 59; write a number from 1 to 59"),
        ("* * */24 * * * *", "hours: the step is `24`, above 23; write a number from 1 to 23"),
        ("* * * * * 1/8 *", "day of week: the step is `8`, above 7; write a number from 1 to 7"),
        ("*/x * * * * * *", "seconds: `x` is no step; write a number from 1 to 59"),
        ("*/ * * * * * *", "seconds: `` is no step; write a number from 1 to 59"),
        ("*/-1 * * * * * *", "seconds: `-1` is no step; write a number from 1 to 59"),
        ("*/2/3 * * * * * *", "seconds: `2/3` is no step; write a number from 1 to 59"),
        (
            "1,,2 * * * * * *",
            "seconds: a value is missing; write `*`, or a list without white space",
        ),
        ("* 1, 2 * * * *", "minutes: a value is missing; write `*`, or a list without white space"),
        ("/5 * * * * * *", "seconds: a value is missing; write `*`, or a list without white space"),
        ("-5 * * * * * *", "seconds: `-5` is half a range; write both ends, as in `a-b`"),
        ("5- * * * * * *", "seconds: `5-` is half a range; write both ends, as in `a-b`"),
        (
            "1-2-3 * * * * * *",
            "seconds: `2-3` is no number; write a number from 0 to 59, a range, a step or `*`",
        ),
        (
            "x * * * * * *",
            "seconds: `x` is no number; write a number from 0 to 59, a range, a step or `*`",
        ),
        (
            "1.5 * * * * * *",
            "seconds: `1.5` is no number; write a number from 0 to 59, a range, a step or `*`",
        ),
        (
            "٣ * * * * * *",
            "seconds: `٣` is no number; write a number from 0 to 59, a range, a step or `*`",
        ),
        (
            f"{'x' * 50} * * * * * *",
            f"seconds: `{'x' * 40}…` is no number; "
            "write a number from 0 to 59, a range, a step or `*`",
        ),
        ("? * * * * * *", "seconds: `?` stands in the day fields only; write `*`"),
        ("* * * * * * ?", "year: `?` stands in the day fields only; write `*`"),
        (
            "* * * 5-* * * *",
            "day of month: `*` stands alone or before a step, not in `*` or a range",
        ),
        ("** * * * * * *", "seconds: `*` stands alone or before a step, not in `**` or a range"),
        ("* * 22-2 * * * *", "hours: `22-2` runs backwards; write `22-23,0-2`"),
        ("* * 23-0 * * * *", "hours: `23-0` runs backwards; write `23,0`"),
        ("* * 22-2/2 * * * *", "hours: `22-2` runs backwards; write `22-23,0-2`"),
        ("* * * * * fri-mon *", "day of week: `fri-mon` runs backwards; write `FRI-SAT,SUN-MON`"),
        ("* * * * * 6-0 *", "day of week: `6-0` runs backwards; write `FRI-SAT,SUN`"),
        ("* * * * nov-feb * *", "month: `nov-feb` runs backwards; write `NOV-DEC,JAN-FEB`"),
        ("* * * * * * 2030-2026", "year: `2030-2026` runs backwards; write `2026-2030`"),
        (
            "* * * * * 3-thu *",
            "day of week: `3-thu` mixes a number and a name; write `3-5` or `TUE-THU`",
        ),
        ("* * * * jan-3 * *", "month: `jan-3` mixes a number and a name; write `1-3` or `JAN-MAR`"),
        (
            "* * * * * tue/2 *",
            "day of week: `tue` is a name, which takes no step; "
            "write the number, `3/…`, or a range, `TUE-SAT/…`",
        ),
        (
            "* * * * * 0-5 *",
            "day of week: `0-5` counts from 0, but 1 is Sunday here, 7 Saturday; "
            "write names, `SUN-FRI`",
        ),
        (
            "* * * * * 0-7 *",
            "day of week: `0-7` counts from 0, but 1 is Sunday here, 7 Saturday; "
            "write names, `SUN-SAT`",
        ),
        ("* * * * mon * *", "month: `mon` is a day of week, which stands in field 6"),
        ("* * * * * july *", "day of week: `july` is a month, which stands in field 5"),
        (
            "* * * * aprl * *",
            "month: `aprl` is unknown; write a number from 1 to 12 or a name such as `JAN`; "
            "did you mean `april`?",
        ),
        (
            "* * * * * xyz *",
            "day of week: `xyz` is unknown; write a number from 1 to 7 or a name such as `SUN`",
        ),
        (
            "* * * L * * *",
            "day of month: `l`: `L` (the last one) is not part of this dialect; "
            "write the days, as `31` with the months `1,3,5,7,8,10,12`",
        ),
        (
            "* * * L-3 * * *",
            "day of month: `l`: `L` (the last one) is not part of this dialect; "
            "write the days, as `31` with the months `1,3,5,7,8,10,12`",
        ),
        (
            "* * * LW * * *",
            "day of month: `lw`: `L` (the last one) is not part of this dialect; "
            "write the days, as `31` with the months `1,3,5,7,8,10,12`",
        ),
        (
            "* * * * * friL *",
            "day of week: `fril`: `L` (the last one) is not part of this dialect; "
            "write the weekday, and days such as `25-31`: both have to match",
        ),
        (
            "* * 6L * * * *",
            "hours: `6l`: `L` (the last one) is not part of this dialect; "
            "write a number from 0 to 23",
        ),
        (
            "* * * 15W * * *",
            "day of month: `15w`: `W` (the nearest working day) is not part of this dialect; "
            "write days of the month and weekdays: both have to match",
        ),
        (
            "* * * * * FRI#2 *",
            "day of week: `fri#2`: `#` (the nth of a month) is not part of this dialect; "
            "write `FRI` as the day of week and `8-14` as the day of month: both have to match",
        ),
        (
            "* * * * * 6#5 *",
            "day of week: `6#5`: `#` (the nth of a month) is not part of this dialect; "
            "write `6` as the day of week and `29-31` as the day of month: both have to match",
        ),
        (
            "* * * 1#9 * * *",
            "day of month: `1#9`: `#` (the nth of a month) is not part of this dialect; "
            "write `FRI` as the day of week and `8-14` as the day of month: both have to match",
        ),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_with_its_name_and_the_fix(
    text: str, message: str
) -> None:
    assert refusal(text) == message


def test_the_error_carries_its_field_and_a_wire_code() -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression("* * * * 13 * *")
    assert isinstance(caught.value, EngineError)
    assert (caught.value.field, caught.value.code) == ("month", "invalid_expression")
    with pytest.raises(InvalidExpression) as caught:
        parse_expression("")
    assert caught.value.field is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("* * * * *", "`0 * * * * * *`"),
        ("*/5 * * * *", "`0 */5 * * * * *`"),
        ("30 2 1 jan *", "`0 30 2 1 jan * *`"),
        ("0 9 * * 1-5", "`0 0 9 * * MON-FRI *`"),
        ("0 9 * * 0", "`0 0 9 * * SUN *`"),
        ("0 9 * * 6-7", "`0 0 9 * * SUN,SAT *`"),
        ("0 9 * * 1-7", "`0 0 9 * * * *`"),
        ("0 9 * * tue,5", "`0 0 9 * * TUE,FRI *`"),
        ("0 9 13 * 5", "`0 0 9 13 * FRI *` (both day fields have to match)"),
    ],
)
def test_five_fields_are_refused_with_their_form_of_seven(text: str, form: str) -> None:
    assert refusal(text) == (
        "the expression has 5 fields, it needs 7 (second minute hour day-of-month month "
        f"day-of-week year) or 6 without the year; with seconds and year it is {form}"
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x", "1 field"),
        ("* * * *", "4 fields"),
        ("0 0 L * *", "5 fields"),
        ("0 0 * * 9", "5 fields"),
        ("* * * * * * * *", "8 fields"),
    ],
)
def test_another_number_of_fields_is_refused_with_an_example(text: str, count: str) -> None:
    assert refusal(text) == (
        f"the expression has {count}, it needs 7 (second minute hour day-of-month month "
        "day-of-week year) or 6 without the year; `0 30 9 * * * *` is every day at 09:30"
    )


@pytest.mark.parametrize("text", ["0 0 9 * * MON, TUE *", "0 0 9 * * MON ,TUE *"])
def test_a_list_with_white_space_is_refused_as_such(text: str) -> None:
    assert refusal(text).endswith("; write lists without white space, as in `1,2`")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_expression_is_refused(text: str) -> None:
    assert refusal(text) == (
        "the expression is empty; write second minute hour day-of-month month day-of-week year"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "@reboot",
            "`@reboot` names no time: workers come and go while the engine runs; "
            "call the function when the worker starts",
        ),
        (
            "@every 5m",
            "`@every 5m` is not part of this dialect; write a step, "
            "as in `*/30 * * * * * *` for every 30 seconds",
        ),
        (
            "@weekli",
            f"the shorthand `@weekli` is unknown; there are {', '.join(SHORTHANDS)}; "
            "did you mean `@weekly`?",
        ),
        ("@x", f"the shorthand `@x` is unknown; there are {', '.join(SHORTHANDS)}"),
    ],
)
def test_other_shorthands_are_refused_with_what_to_write(text: str, message: str) -> None:
    assert refusal(text) == message


def test_an_expression_has_a_limit_that_no_rule_needs() -> None:
    every_value = " ".join(
        ",".join(str(value) for value in range(each.first, each.last + 1)) for each in FIELDS
    )
    all_hours = ",".join(map(str, range(24)))
    assert canonical(every_value) == f"* * {all_hours} * * * *"
    assert refusal("0," * MAX_LENGTH) == (
        f"the expression has {2 * MAX_LENGTH} characters, at most {MAX_LENGTH} are allowed; "
        "write lists as ranges or steps"
    )


@settings(deadline=None)
@given(rules())
def test_an_expression_has_the_values_that_its_text_names(rule: Rule) -> None:
    *others, years = rule.values
    bits = [sum(1 << value for value in values) for values in others]
    bits_of_years = sum(1 << (year - 1970) for year in years)
    expected = (*bits, bits_of_years, rule.has_fixed_hours)
    assert msgspec.structs.astuple(parse_expression(rule.text)) == expected


# So equal canonical forms are equal rules.
@settings(deadline=None)
@given(rules())
def test_the_canonical_form_is_the_same_rule_and_its_own_canonical_form(rule: Rule) -> None:
    expression = parse_expression(rule.text)
    again = parse_expression(expression.canonical)
    assert (again, again.canonical) == (expression, expression.canonical)


@settings(deadline=None)
@given(st.integers(1, HOUR.all_values), st.booleans())
def test_every_set_of_hours_has_a_form_that_is_read_as_itself(hours: int, is_fixed: bool) -> None:
    everything = parse_expression("* * * * * * *")
    is_fixed = is_fixed or hours.bit_count() == 1
    expression = msgspec.structs.replace(everything, hours=hours, has_fixed_hours=is_fixed)
    assert parse_expression(expression.canonical) == expression


@settings(deadline=None)
@given(st.text(st.sampled_from("0159*/-,?#lw @montue\tL"), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidExpression):
        expression = parse_expression(text)
        assert parse_expression(expression.canonical) == expression
