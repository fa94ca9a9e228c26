"""What a schedule may say, in every spelling, and how each mistake is refused."""

from __future__ import annotations

from typing import Any

import pytest

from engine.modules.cron.errors import CronError
from engine.modules.cron.records import Settings
from engine.modules.cron.settings import made_id, read_members, read_settings

EVERY_SECOND = "* * * * * * *"


def read(function_id: str = "f", namespace: str | None = None, **members: Any) -> Settings:
    return read_settings(
        {"expression": EVERY_SECOND, **members}, function_id=function_id, namespace=namespace
    )


def test_only_the_expression_is_needed() -> None:
    settings = read()
    assert settings == Settings(settings.schedule_id, "f", EVERY_SECOND)


def test_every_option_is_read() -> None:
    assert read(
        timezone="Europe/Berlin",
        overlap="allow",
        misfire="once",
        jitter_ms=5,
        timeout_ms=6.0,
        schedule_id="mine",
        enabled=False,
        repeat_interrupted=True,
        condition_function_id="c",
        namespace="team",
        unknown=[1],
    ) == Settings(
        "mine",
        "f",
        EVERY_SECOND,
        timezone="Europe/Berlin",
        namespace="team",
        condition_function_id="c",
        overlap="allow",
        misfire="once",
        jitter_ms=5,
        timeout_ms=6,
        repeat_interrupted=True,
        is_enabled=False,
    )


@pytest.mark.parametrize(
    ("spelled", "field", "value"),
    [
        ({"scheduleId": "mine"}, "schedule_id", "mine"),
        ({"jitterMs": 5}, "jitter_ms", 5),
        ({"timeoutMs": 5}, "timeout_ms", 5),
        ({"repeatInterrupted": True}, "repeat_interrupted", True),
        ({"_condition_path": "c"}, "condition_function_id", "c"),
        ({"is_enabled": False}, "is_enabled", False),
        ({"expression": None, "cron": "@daily"}, "expression", "@daily"),
        ({"timezone": None, "jitter_ms": None, "enabled": None}, "timezone", "UTC"),
    ],
)
def test_other_spellings_mean_the_same(spelled: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(read(**spelled), field) == value


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"expression": ""}, "`expression` is missing or empty; write second minute hour"),
        ({"expression": None}, "`expression` is missing or empty"),
        ({"expression": 5}, "`expression`: expected text, got the number 5"),
        ({"expression": "* * * * *"}, "`expression`: the expression has 5 fields, it needs 7"),
        ({"expression": "61 * * * * *"}, "`expression`: seconds: `61` is above 59"),
        ({"timezone": "Europe/Berlim"}, "`timezone`: `Europe/Berlim` is unknown; write an IANA"),
        ({"timezone": 1}, "`timezone`: expected text"),
        ({"overlap": "alow"}, '`overlap`: expected one of skip, allow, got the text "alow", did'),
        ({"misfire": True}, "`misfire`: expected one of skip, once, got true"),
        ({"jitter_ms": -1}, "`jitter_ms`: expected whole milliseconds from 0 to 86400000"),
        ({"jitterMs": 1.5}, "`jitterMs`: expected whole milliseconds"),
        ({"timeout_ms": True}, "`timeout_ms`: expected whole milliseconds from 0 to 604800000"),
        ({"timeout_ms": 10**12}, "`timeout_ms`: expected whole milliseconds"),
        ({"schedule_id": "a\0"}, "`schedule_id` must not hold the NUL character"),
        ({"schedule_id": "é" * 513}, "`schedule_id` is longer than 1024 bytes"),
        ({"enabled": "yes"}, '`enabled`: expected true or false, got the text "yes"'),
        ({"repeat_interrupted": 1}, "`repeat_interrupted`: expected true or false"),
        ({"condition_function_id": {}}, "`condition_function_id`: expected text, got a mapping"),
        ({"function_id": "\0"}, "`function_id` must not hold the NUL character"),
    ],
)
def test_a_mistake_is_refused_with_its_name_and_the_fix(
    members: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CronError) as raised:
        read(**members)
    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[1]", "expected an object with `expression`, got a list"),
        (b'"x"', "expected an object"),
        (b"{", "no JSON: "),
    ],
)
def test_settings_are_an_object(text: bytes, problem: str) -> None:
    with pytest.raises(CronError, match=problem):
        read_members(text)


@pytest.mark.parametrize("text", [b"", b" null ", b"{}"])
def test_nothing_has_no_members(text: bytes) -> None:
    assert read_members(text) == {}


def test_what_means_the_same_is_one_schedule() -> None:
    one = read(expression="0 0 9 * * MON-FRI")
    same = read(expression=" 0 0 9 * * mon,tue,wed,thu,fri * ", overlap="allow", jitter_ms=5)
    assert one.schedule_id == same.schedule_id
    assert one.schedule_id == made_id("f", "", "0 0 9 * * MON-FRI *", "UTC", "")
    assert len(one.schedule_id) == 32


def test_what_calls_something_else_or_at_other_times_is_another_schedule() -> None:
    others = [
        read(),
        read("g"),
        read(namespace="team"),
        read(timezone="Europe/Berlin"),
        read(condition_function_id="c"),
        read(expression="*/2 * * * * *"),
        read(schedule_id="mine"),
    ]
    assert len({each.schedule_id for each in others}) == len(others)


def test_the_default_namespace_is_none() -> None:
    assert read(namespace="default") == read(namespace=None)
