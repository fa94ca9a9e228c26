"""What the parts of the module tell each other about schedules and ticks; times in Unix ms."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

LEAD_MS: Final = 700
"""How long before its time a tick is planned and claimed: then it only has to be begun."""

SHORTEST_GRACE_MS: Final = 2_000
LONGEST_GRACE_MS: Final = 60_000
"""How late a run may begin: half the way to the next one, but no less and no more than these."""

MAX_MISSED_ROWS: Final = 100
"""How many times of one schedule that nobody planned get a row of their own: the last ones."""

ERROR_LIMIT: Final = 2_000
"""How many characters of an error are kept."""


class Settings(msgspec.Struct, frozen=True, gc=False):
    """What its owner says about a schedule; the fields are those of `engine.models.Schedule`.

    Attributes:
        payload: JSON text; empty for the times of the run.
    """

    schedule_id: str
    function_id: str
    expression: str
    timezone: str = "UTC"
    namespace: str = ""
    condition_function_id: str = ""
    payload: bytes = b""
    overlap: str = "skip"
    misfire: str = "skip"
    jitter_ms: int = 0
    timeout_ms: int = 0
    repeat_interrupted: bool = False
    is_enabled: bool = True


class KnownSchedule(msgspec.Struct, frozen=True, gc=False):
    """A schedule as the store knows it.

    Attributes:
        id: of the row.
        is_persons: made in the console, no worker's.
        skip_until: times up to this one are skipped; 0 for none.
        next_at: the first time without a tick; None if it is never due again.
    """

    id: int
    settings: Settings
    is_persons: bool
    is_paused: bool
    skip_until: int
    next_at: int | None


class ClaimedTick(msgspec.Struct, frozen=True, gc=False):
    """A tick that this engine is to run at `run_at`.

    Attributes:
        attempt: which claim it is, from 1 on; with `id` it says what an outcome belongs to.
        give_up_at: it must not begin after this; None if it may at any time.
        payload: instead of the schedule's, JSON text; empty for none.
    """

    id: int
    attempt: int
    schedule: KnownSchedule
    scheduled_at: int
    run_at: int
    give_up_at: int | None
    is_manual: bool
    payload: bytes


class TickState(enum.IntEnum):
    """The states of `engine.models.Tick`."""

    DUE = 0
    CLAIMED = 1
    DONE = 2
    FAILED = 3
    SKIPPED = 4
    MISSED = 5
    INTERRUPTED = 6


class Ended(msgspec.Struct, frozen=True, gc=False):
    """What has become of a claimed tick; counts only for its claim (`id` and `attempt`).

    Attributes:
        reason: a value of `Tick.Reason`; empty unless it was skipped or missed.
        error: at most `ERROR_LIMIT` characters.
        started_at: when its function was called; None if it was not.
    """

    id: int
    attempt: int
    state: TickState
    finished_at: int
    reason: str = ""
    error: str = ""
    trigger_id: str = ""
    trace_id: str = ""
    started_at: int | None = None


class Claims(msgspec.Struct, frozen=True, gc=False):
    """What a claim has brought: ticks in the order of their time, and whether there may be more."""

    ticks: Sequence[ClaimedTick]
    has_more: bool


class TickRecord(msgspec.Struct, frozen=True, gc=False):
    """A tick as people see it; the fields are those of `engine.models.Tick`.

    Attributes:
        schedule_id: the schedule's own id, not that of its row.
        attempts: how often it was claimed.
    """

    id: int
    schedule_id: str
    scheduled_at: int
    run_at: int
    state: TickState
    reason: str
    error: str
    is_manual: bool
    stands_for: int
    attempts: int
    trigger_id: str
    trace_id: str
    started_at: int | None
    finished_at: int | None


class ListedSchedule(msgspec.Struct, frozen=True, gc=False):
    """A schedule as people see it.

    Attributes:
        detached_at: since when no worker has it; None while one does, and for people's.
        ended_at: when its last trigger was unregistered; None if it was not.
        last: the newest tick whose turn has come.
    """

    known: KnownSchedule
    detached_at: int | None
    ended_at: int | None
    last: TickRecord | None


class SchedulePage(msgspec.Struct, frozen=True, gc=False):
    """Some of the schedules that were asked for, and how many there are of them."""

    schedules: Sequence[ListedSchedule]
    total: int


class Planned(msgspec.Struct, frozen=True, gc=False):
    """What a look at the clock has brought.

    Attributes:
        ticks: how many are to be run.
        next_due_at: when the next one is due; None if none ever is.
        urls: of the engines that may run them, as Celery reaches them; "" is that of III_URL.
    """

    ticks: int
    next_due_at: int | None
    urls: Sequence[str]


def grace_ms(scheduled_at: int, next_at: int | None) -> int:
    """Return how late a run may begin whose schedule is due again at `next_at`."""
    if next_at is None:
        return LONGEST_GRACE_MS
    return min(LONGEST_GRACE_MS, max(SHORTEST_GRACE_MS, (next_at - scheduled_at) // 2))
