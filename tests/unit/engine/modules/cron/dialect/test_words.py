"""Expressions in plain English."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.words import describe
from tests.unit.engine.modules.cron.dialect.rules import Rule, rules


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * * *", "every second"),
        ("*/30 * * * * * *", "every 30 seconds"),
        ("0,30 * * * * * *", "every 30 seconds"),
        ("*/7 * * * * *", "at seconds 0, 7, 14 … 56 of every minute"),
        ("5 * * * * *", "at second 5 of every minute"),
        ("5,10,40-50 * * * * *", "at seconds 5, 10 and 40 to 50 of every minute"),
        ("*/10 0-9 * * * *", "every 10 seconds in minutes 0 to 9 of every hour"),
        ("15 5 9-17 * * *", "at second 15 of minute 5 of hours 9 to 17"),
        ("15 0-9 9,10 * * *", "at second 15 of minutes 0 to 9 of hours 9 and 10"),
        ("5 * 9-17 * * *", "at second 5 of every minute from 09:00 to 17:59"),
        ("0 * * * * *", "every minute"),
        ("0 */5 * * * *", "every 5 minutes"),
        ("0 5/5 * * * *", "at minutes 5, 10, 15 … 55 of every hour"),
        ("0 15,45 * * * *", "at minutes 15 and 45 of every hour"),
        ("0 15,45 */2 * * *", "at minutes 15 and 45 of hours 0, 2, 4 … 22"),
        ("0 * 9 * * *", "every minute from 09:00 to 09:59"),
        (
            "0 */5 9-11,14-17 * * MON-FRI",
            "every 5 minutes from 09:00 to 11:59 and 14:00 to 17:59 on Mondays to Fridays",
        ),
        ("0 */5 8,12,20 * * *", "every 5 minutes in hours 8, 12 and 20"),
        ("0 */5 */2 * * *", "every 5 minutes in hours 0, 2, 4 … 22"),
        ("@hourly", "every hour"),
        ("0 0 */2 * * *", "every 2 hours"),
        ("0 0 9-17 * * *", "every hour from 09:00 to 17:00"),
        (
            "0 0 1,2,3,5,8,13,21 * * *",
            "at 01:00, 02:00, 03:00, 05:00, 08:00, 13:00 and 21:00 every day",
        ),
        ("0 30 2 * * *", "at 02:30 every day"),
        ("0 30 2,14 * * *", "at 02:30 and 14:30 every day"),
        ("5,30 0 12 * * *", "at 12:00:05 and 12:00:30 every day"),
        ("@daily", "at 00:00 every day"),
        ("@weekly", "at 00:00 on Sundays"),
        ("@monthly", "at 00:00 on day 1 of every month"),
        ("@yearly", "at 00:00 on 1 January"),
        ("0 0 9 * * MON,WED,FRI", "at 09:00 on Mondays, Wednesdays and Fridays"),
        ("0 0 9 * * 1-5", "at 09:00 on Sundays to Thursdays"),
        ("0 0 9 * * SAT,SUN", "at 09:00 on Sundays and Saturdays"),
        ("0 0 9 1,15 * *", "at 09:00 on days 1 and 15 of every month"),
        ("0 0 9 */2 * *", "at 09:00 on days 1, 3, 5 … 31 of every month"),
        ("0 0 9 28-29 2 *", "at 09:00 on days 28 and 29 of February"),
        ("0 0 9 1 */3 *", "at 09:00 on day 1 of January, April, July and October"),
        ("0 0 9 13 * FRI", "at 09:00 on day 13 of every month if that is a Friday"),
        (
            "0 0 9 8-14 MAY SAT,SUN",
            "at 09:00 on days 8 to 14 of May if that is a Sunday or Saturday",
        ),
        ("0 0 9 * JUN-AUG *", "at 09:00 every day in June to August"),
        ("0 0 9 * JUN MON", "at 09:00 on Mondays in June"),
        ("* * * * JUN *", "every second in June"),
        ("* * * 1 * *", "every second on day 1 of every month"),
        ("0 0 9 * * * 2028", "at 09:00 every day in 2028"),
        ("0 0 9 29 2 * 2028,2032", "at 09:00 on 29 February in 2028 and 2032"),
        ("0 0 9 * * * 2027-2030", "at 09:00 every day from 2027 to 2030"),
        ("0 0 9 1 1 * 2026/2", "at 09:00 on 1 January in 2026, 2028, 2030 … 2100"),
    ],
)
def test_an_expression_is_put_in_words(text: str, words: str) -> None:
    assert describe(parse_expression(text)) == words


@settings(max_examples=50, deadline=None)
@given(rules())
def test_every_spelling_of_a_rule_has_the_same_words(rule: Rule) -> None:
    expression = parse_expression(rule.text)
    words = describe(expression)
    assert words.startswith(("at ", "every "))
    assert words == " ".join(words.split())
    assert describe(parse_expression(expression.canonical)) == words
