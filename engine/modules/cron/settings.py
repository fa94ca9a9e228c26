"""What triggers and people say about a schedule: read member by member, refused by name."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.core.errors import EngineError
from engine.core.modules import nearest
from engine.core.protocol import DEFAULT_NAMESPACE, NULL
from engine.core.validation import describe_value
from engine.modules.cron.dialect.expression import FORM, parse_expression
from engine.modules.cron.dialect.zones import find_zone
from engine.modules.cron.errors import CronError
from engine.modules.cron.records import Settings

MAX_TEXT_BYTES: Final = 1_024
"""Of an id or a namespace."""

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
"""Of a payload that people give: it is stored with the schedule or the tick."""

MAX_JITTER_MS: Final = 24 * 3_600_000
MAX_TIMEOUT_MS: Final = 7 * 24 * 3_600_000

OVERLAPS: Final = ("skip", "allow")
MISFIRES: Final = ("skip", "once")

ID_DIGITS: Final = 32
"""Of a schedule's id that is made from what it says."""


def read_members(text: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; nothing and `null` have none.

    Raises:
        CronError: it is no object.
    """
    if text.strip() in {b"", NULL}:
        return {}
    try:
        members = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CronError(f"no JSON: {error}") from error
    if not isinstance(members, dict):
        raise CronError(f"expected an object with `expression`, got {describe_value(members)}")
    return members


def read_settings(
    members: Mapping[str, Any], *, function_id: str, namespace: str | None, payload: bytes = b""
) -> Settings:
    """Return the settings that an object says; unknown members are ignored, `null` is absence.

    Args:
        members: `{expression | cron, timezone, overlap, misfire, jitter_ms, timeout_ms,
            schedule_id, enabled, repeat_interrupted, condition_function_id}`; those of several
            words also in camel case.
        function_id: what is called.
        namespace: where it lives; None or `default` for the default one.
        payload: JSON text instead of the times of the run; empty for these.

    Raises:
        CronError: one of them cannot be used.
    """
    expression = _text(members, "expression", "cron")
    if not expression.strip():
        raise CronError(f"`expression` is missing or empty; write {FORM}")
    try:
        canonical = parse_expression(expression).canonical
    except EngineError as error:
        raise CronError(f"`expression`: {error}") from error
    zone = _text(members, "timezone", "timeZone", "time_zone") or "UTC"
    try:
        find_zone(zone)
    except EngineError as error:
        raise CronError(f"`timezone`: {str(error).removeprefix('timezone: ')}") from error
    namespace = "" if namespace in {None, DEFAULT_NAMESPACE} else namespace
    assert namespace is not None
    for name, text in (("function_id", function_id), ("namespace", namespace)):
        _check_text(name, text)
    condition = _text(members, "condition_function_id", "_condition_path", "conditionFunctionId")
    schedule_id = _text(members, "schedule_id", "scheduleId")
    return Settings(
        schedule_id=schedule_id or made_id(function_id, namespace, canonical, zone, condition),
        function_id=function_id,
        # Many schedules share them, and each is read from a text of its own.
        expression=sys.intern(expression),
        timezone=sys.intern(zone),
        namespace=sys.intern(namespace),
        condition_function_id=sys.intern(condition),
        payload=payload,
        overlap=_choice(members, "overlap", OVERLAPS),
        misfire=_choice(members, "misfire", MISFIRES),
        jitter_ms=_number(members, MAX_JITTER_MS, "jitter_ms", "jitterMs"),
        timeout_ms=_number(members, MAX_TIMEOUT_MS, "timeout_ms", "timeoutMs"),
        repeat_interrupted=_flag(members, False, "repeat_interrupted", "repeatInterrupted"),
        is_enabled=_flag(members, True, "enabled", "is_enabled", "isEnabled"),
    )


def made_id(
    function_id: str, namespace: str, canonical: str, timezone: str, condition_function_id: str
) -> str:
    """Return the id of a schedule that is given none: the same for all that mean the same."""
    parts = (function_id, namespace, canonical, timezone, condition_function_id)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:ID_DIGITS]


def text_problem(name: str, text: str) -> str | None:
    """Say why a text cannot be stored as an id; None if it can."""
    if "\0" in text:
        return f"`{name}` must not hold the NUL character"
    if len(text) > MAX_TEXT_BYTES // 4 and len(text.encode()) > MAX_TEXT_BYTES:
        return f"`{name}` is longer than {MAX_TEXT_BYTES} bytes"
    return None


def _check_text(name: str, text: str) -> None:
    problem = text_problem(name, text)
    if problem is not None:
        raise CronError(problem)


def _find(members: Mapping[str, Any], spellings: tuple[str, ...]) -> tuple[str, Any]:
    """Return the spelling that is used, and its value; the first one and None if none is."""
    for each in spellings:
        value = members.get(each)
        if value is not None:
            return each, value
    return spellings[0], None


def _text(members: Mapping[str, Any], *spellings: str) -> str:
    name, value = _find(members, spellings)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CronError(f"`{name}`: expected text, got {describe_value(value)}")
    if "expression" not in spellings:
        _check_text(name, value)
    return value


def _choice(members: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = members.get(name)
    if value is None:
        return choices[0]
    if value in choices:
        return str(value)
    near = nearest(value, choices) if isinstance(value, str) else None
    hint = f", did you mean `{near}`?" if near else ""
    raise CronError(
        f"`{name}`: expected one of {', '.join(choices)}, got {describe_value(value)}{hint}"
    )


def _number(members: Mapping[str, Any], most: int, *spellings: str) -> int:
    name, value = _find(members, spellings)
    if value is None:
        return 0
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value // 1 or not 0 <= value <= most:
        raise CronError(
            f"`{name}`: expected whole milliseconds from 0 to {most}, got {describe_value(value)}"
        )
    return int(value)


def _flag(members: Mapping[str, Any], default: bool, *spellings: str) -> bool:
    name, value = _find(members, spellings)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise CronError(f"`{name}`: expected true or false, got {describe_value(value)}")
    return value
