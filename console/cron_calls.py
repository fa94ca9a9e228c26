"""The functions of the cron module as the console calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from console.engine_calls import WriteFailed, write

Result = TypeVar("Result")

FUNCTION_NOT_FOUND: Final = "function_not_found"


class Run(msgspec.Struct):
    """The answer of `engine::cron::run_now`.

    Attributes:
        state: of the tick, one of `Tick.State`'s labels.
    """

    tick_id: int | str
    state: str = ""


def save(settings: Mapping[str, Any], *, is_new: bool) -> None:
    """Make or change a person's schedule; `settings` are the fields of `records.Settings`.

    Raises:
        WriteFailed: it was not, or nobody knows.
    """
    _write("save", {**settings, "is_new": is_new}, msgspec.Raw, is_internal=True)


def remove(schedule_id: str) -> None:
    """Delete a schedule with its ticks.

    Raises:
        WriteFailed: it is still there, or nobody knows.
    """
    _write("remove", {"schedule_id": schedule_id}, msgspec.Raw, is_internal=True)


def run_now(schedule_id: str, payload: bytes) -> Run:
    """Let a schedule's function be called now, paused or not.

    Args:
        schedule_id: which schedule.
        payload: JSON text instead of the schedule's own; empty for that.

    Raises:
        WriteFailed: it is not, or nobody knows.
    """
    arguments: dict[str, Any] = {"schedule_id": schedule_id}
    if payload:
        arguments["payload"] = msgspec.Raw(payload)
    return _write("run_now", arguments, Run)


def set_paused(schedule_id: str, *, is_paused: bool) -> None:
    """Pause a schedule, or let it go on.

    Raises:
        WriteFailed: it is as it was, or nobody knows.
    """
    _write("pause" if is_paused else "resume", {"schedule_id": schedule_id}, msgspec.Raw)


def skip_next(schedule_id: str, *, is_skipped: bool) -> None:
    """Let the next time of a schedule be skipped, or not any more.

    Raises:
        WriteFailed: it is as it was, or nobody knows.
    """
    arguments = {"schedule_id": schedule_id, "skip": is_skipped}
    _write("skip_next", arguments, msgspec.Raw)


def _write(
    name: str, payload: Mapping[str, Any], result: type[Result], *, is_internal: bool = False
) -> Result:
    try:
        return write(f"engine::cron::{name}", payload, result, is_internal=is_internal)
    except WriteFailed as error:
        if error.code == FUNCTION_NOT_FOUND:
            raise WriteFailed(
                "This engine runs without the cron module. Add modules::cron::CronModule under "
                "modules: in its configuration, and start it anew.",
                error.code,
            ) from error
        raise
