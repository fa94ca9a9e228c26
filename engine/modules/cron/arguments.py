"""What the functions of the cron module are called with: shapes, limits."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from engine.modules.cron.errors import CronError
from engine.modules.cron.records import TickState
from engine.modules.cron.times import unix_ms

MAX_PAGE: Final = 1_000
"""How many schedules or ticks an answer holds at most."""

MAX_COUNT: Final = 100
"""How many times an answer of `next` holds at most."""

LATEST_MS: Final = 4_133_980_800_000
"""The beginning of the year 2101, Unix milliseconds: no expression names a time after it."""

NOTHING: Final = msgspec.Raw(b"")

SCHEDULE_STATES: Final = ("active", "paused", "disabled", "detached", "ended")
ORIGINS: Final = ("worker", "person")

TICK_STATES: Final = {
    each: "running" if each is TickState.CLAIMED else each.name.lower() for each in TickState
}
"""The states of ticks as functions spell them."""


class ScheduleArguments(msgspec.Struct):
    """Which schedule is meant."""

    schedule_id: str = ""


class ListArguments(msgspec.Struct):
    """Which schedules are meant; what is absent does not narrow."""

    search: str | None = None
    origin: str | None = None
    state: str | None = None
    function_id: str | None = None
    limit: int = 50
    offset: int = 0


class NextArguments(msgspec.Struct):
    """A schedule, or an expression with its zone, and how many times from when on."""

    schedule_id: str | None = None
    expression: str | None = None
    timezone: str | None = None
    count: int = 5
    after: int | str | None = None

    def after_ms(self, now_ms: int) -> int:
        """Return from when on times are looked for, Unix milliseconds.

        Raises:
            CronError: `after` is no time.
        """
        if self.after is None:
            return now_ms
        if isinstance(self.after, int):
            if not 0 <= self.after <= LATEST_MS:
                raise CronError(f"`after` must be from 0 to {LATEST_MS} Unix milliseconds")
            return self.after
        try:
            time = msgspec.convert(self.after, dt.datetime)
        except msgspec.ValidationError:
            time = None
        if time is None or time.tzinfo is None:
            raise CronError(
                f'`after`: "{self.after[:40]}" is no time; '
                "write it as 2026-01-31T12:00:00Z or in Unix milliseconds"
            )
        return unix_ms(time)


class TicksArguments(msgspec.Struct):
    """Which ticks are meant; what is absent does not narrow."""

    schedule_id: str | None = None
    state: str | None = None
    limit: int = 50
    before_id: int | None = None


class RunNowArguments(ScheduleArguments):
    """A schedule, what its function gets instead of the usual, and whether to wait."""

    payload: msgspec.Raw = NOTHING
    wait: bool = False


class SkipArguments(ScheduleArguments):
    """A schedule whose next time is to be skipped, or not after all."""

    skip: bool = True


class SaveArguments(msgspec.Struct):
    """What is not among the settings that `read_settings` reads."""

    function_id: str = ""
    namespace: str | None = None
    payload: msgspec.Raw = NOTHING
    is_new: bool = False


def check_page(limit: int, offset: int = 0) -> None:
    """Refuse a page that is too large or begins nowhere."""
    if not 0 < limit <= MAX_PAGE:
        raise CronError(f"`limit` must be from 1 to {MAX_PAGE}")
    if not 0 <= offset <= 2**31:
        raise CronError("`offset` must not be negative")


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> str:
    """Return a choice, empty if none was made; refuse what is none."""
    if value and value not in choices:
        raise CronError(f"`{name}` must be one of {', '.join(choices)}")
    return value or ""


def tick_state(name: str | None) -> TickState | None:
    """Return the state of ticks that a name means; None if there is no name."""
    wanted = check_choice("state", name, tuple(TICK_STATES.values()))
    return next((state for state, text in TICK_STATES.items() if text == wanted), None)
