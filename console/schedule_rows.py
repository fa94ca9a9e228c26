"""The rows of schedules and their ticks, to look at: what comes next, what has become of the last.

Whatever is read here is bounded, however many schedules and ticks there are.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import BooleanField, Min, Q
from django.db.models.expressions import RawSQL

from console.instants import instant
from console.schedule_times import LocalTime, local_time, upcoming
from engine.core.errors import EngineError
from engine.models import Schedule, Tick
from engine.modules.cron.dialect.expression import parse_expression
from engine.modules.cron.dialect.words import describe
from engine.modules.cron.dialect.zones import find_zone
from kv.clock import now_ms

STRIP: Final = 20
"""The last ticks of a schedule that are shown side by side."""

STRIP_ERROR: Final = 120
"""Characters of an error where the pointer rests on one of them."""

NEXT_RUNS: Final = 5

TICKS: Final = 25
"""Ticks on one page of a schedule."""

LINES: Final = 10
"""Lines of the history that are shown: the newest."""

OVERDUE_MS: Final = 10_000
"""A time that has passed so long ago without a tick was planned by nobody."""

DAY_MS: Final = 86_400_000

MANY_FAILURES: Final = 1_000
"""The overview counts no further."""

# SQLite takes the index of a state only if the state stands in the statement.
HAS_FAILED: Final = RawSQL(
    f"engine_tick.state = {Tick.State.FAILED:d}", (), output_field=BooleanField()
)

# Both databases walk down the index of one schedule for each part, and read no tick more.
_LAST_TICKS: Final = f"""
SELECT * FROM (
  SELECT id, schedule_id, scheduled_at, run_at, state, reason,
         substr(error, 1, {STRIP_ERROR + 1}) AS error,
         is_manual, stands_for, started_at, finished_at
  FROM engine_tick WHERE schedule_id = %s ORDER BY scheduled_at DESC LIMIT {STRIP}
) AS last_{{number}}
"""


class ScheduleState(StrEnum):
    """Whether a schedule runs, and why not; the value is for addresses."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"
    DETACHED = "detached"
    ENDED = "ended"

    @property
    def label(self) -> str:
        """For people."""
        return "no worker" if self is ScheduleState.DETACHED else self.value

    @property
    def condition(self) -> Q:
        """Which rows are in this state, see `state_of`."""
        there, owned = Q(ended_at=None), Q(ended_at=None, detached_at=None)
        match self:
            case ScheduleState.ENDED:
                return Q(ended_at__isnull=False)
            case ScheduleState.DETACHED:
                return there & Q(detached_at__isnull=False)
            case ScheduleState.DISABLED:
                return owned & Q(is_enabled=False)
            case ScheduleState.PAUSED:
                return owned & Q(is_enabled=True, is_paused=True)
            case _:
                return owned & Q(is_enabled=True, is_paused=False)


def state_of(schedule: Schedule) -> ScheduleState:
    """Return the first of ended, detached, disabled and paused that is true, else active.

    The order is that of `engine::cron::list`.
    """
    if schedule.ended_at is not None:
        return ScheduleState.ENDED
    if schedule.detached_at is not None:
        return ScheduleState.DETACHED
    if not schedule.is_enabled:
        return ScheduleState.DISABLED
    return ScheduleState.PAUSED if schedule.is_paused else ScheduleState.ACTIVE


@dataclass(frozen=True, slots=True)
class ShownTick:
    """A tick in words."""

    tick: Tick

    @property
    def kind(self) -> str:
        """Its state as the styles call it."""
        return self._state.name.lower()

    @property
    def state(self) -> str:
        """Its state."""
        return str(self._state.label)

    @property
    def _state(self) -> Tick.State:
        """Its state; an engine claims it a little before its time."""
        state = Tick.State(self.tick.state)
        is_ahead = state is Tick.State.CLAIMED and self.tick.run_at > now_ms()
        return Tick.State.DUE if is_ahead else state

    @property
    def reason(self) -> str:
        """Why it was skipped or missed; empty otherwise."""
        return str(Tick.Reason(self.tick.reason).label) if self.tick.reason else ""

    @property
    def error(self) -> str:
        """The first line of its error."""
        return self.tick.error.split("\n", 1)[0].rstrip()

    @property
    def scheduled_at(self) -> dt.datetime:
        """When it was due."""
        return instant(self.tick.scheduled_at)

    @property
    def lateness_ms(self) -> int | None:
        """How long after its time it began, jitter aside; None if it did not."""
        begun = self.tick.started_at
        return None if begun is None else max(0, begun - self.tick.run_at)

    @property
    def duration_ms(self) -> int | None:
        """How long its run took; None if it has not ended or never began."""
        begun, ended = self.tick.started_at, self.tick.finished_at
        return None if begun is None or ended is None else max(0, ended - begun)

    @property
    def earlier(self) -> int:
        """How many earlier times it tells of, too."""
        return self.tick.stands_for - 1

    @property
    def summary(self) -> str:
        """All of it in one line."""
        parts = [f"{self.scheduled_at:%Y-%m-%d %H:%M:%S} UTC: {self.state}"]
        if self.tick.is_manual:
            parts.append("asked for by hand")
        if self.reason:
            parts.append(self.reason)
        if self.lateness_ms is not None:
            parts.append(f"{self.lateness_ms} ms late")
        if self.duration_ms is not None:
            parts.append(f"took {self.duration_ms} ms")
        if self.earlier:
            parts.append(f"so were {self.earlier} times before it")
        if self.error:
            is_cut = len(self.error) > STRIP_ERROR
            parts.append(f"{self.error[:STRIP_ERROR]}{'…' if is_cut else ''}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Strip:
    """The last ticks of a schedule, the newest last."""

    ticks: Sequence[ShownTick] = ()

    @property
    def summary(self) -> str:
        """How many there are of each state, for those who do not see colours or shapes."""
        counts = Counter(each.state for each in self.ticks)
        return ", ".join(f"{count} {state}" for state, count in counts.most_common())

    @property
    def last_begun(self) -> ShownTick | None:
        """The newest one whose function was called."""
        return next((each for each in reversed(self.ticks) if each.tick.started_at), None)


@dataclass(frozen=True, slots=True)
class ShownSchedule:
    """A schedule in words, as it is at one moment.

    Attributes:
        now_ms: the moment, in Unix milliseconds.
    """

    row: Schedule
    now_ms: int

    @property
    def state(self) -> ScheduleState:
        """Whether it runs."""
        return state_of(self.row)

    @property
    def is_persons(self) -> bool:
        """Whether it was made in the console."""
        return self.row.origin == Schedule.Origin.PERSON

    @property
    def words(self) -> str:
        """When it is due, in words; empty if its expression cannot be read any more."""
        try:
            return describe(parse_expression(self.row.expression))
        except EngineError:
            return ""

    @property
    def next_run(self) -> LocalTime | None:
        """When it is due next; None if it never is again."""
        if self.state is ScheduleState.ENDED or self.row.next_at is None:
            return None
        return local_time(instant(self.row.next_at), self.row.timezone)

    @property
    def is_overdue(self) -> bool:
        """Whether its next time has passed, and nobody has made a tick of it."""
        return (
            self.state is not ScheduleState.ENDED
            and self.row.due_at is not None
            and self.row.due_at < self.now_ms - OVERDUE_MS
        )

    @property
    def is_skipping(self) -> bool:
        """Whether the next time is to be skipped."""
        until, next_at = self.row.skip_until, self.row.next_at
        return until is not None and until >= self.now_ms and next_at is not None

    @property
    def skip_until(self) -> LocalTime | None:
        """The time that is to be skipped; None if none is."""
        if not self.is_skipping or self.row.skip_until is None:
            return None
        return local_time(instant(self.row.skip_until), self.row.timezone)

    @property
    def detached_at(self) -> dt.datetime | None:
        """Since when no worker has it."""
        return None if self.row.detached_at is None else instant(self.row.detached_at)

    @property
    def ended_at(self) -> dt.datetime | None:
        """When its last trigger was unregistered."""
        return None if self.row.ended_at is None else instant(self.row.ended_at)

    @property
    def created_at(self) -> dt.datetime:
        """When it was first known."""
        return instant(self.row.created_at)

    def next_runs(self) -> list[LocalTime]:
        """Return its next times."""
        if self.state is ScheduleState.ENDED:
            return []
        try:
            expression, zone = parse_expression(self.row.expression), find_zone(self.row.timezone)
        except EngineError:
            return []
        return list(islice(upcoming(expression, zone, instant(self.now_ms)), NEXT_RUNS))


@dataclass(frozen=True, slots=True)
class TickPage:
    """Some ticks of one schedule, the newest first.

    Attributes:
        older: times before this one, in Unix milliseconds, are on the next page; None if it ends.
        is_newest: whether nothing newer is left out.
    """

    ticks: Sequence[ShownTick]
    older: int | None
    is_newest: bool


@dataclass(frozen=True, slots=True)
class ScheduleTotals:
    """Figures of all schedules together.

    Attributes:
        count: schedules that have not ended.
        next_at: when the next one is due; None if none ever is.
        failed: ticks of the last day that have failed, at most `MANY_FAILURES`.
        is_overdue: whether that time has passed, and nobody has made a tick of it.
    """

    count: int
    next_at: dt.datetime | None
    failed: int
    is_overdue: bool

    @property
    def has_more(self) -> bool:
        """Whether there may be more failures than were counted."""
        return self.failed == MANY_FAILURES


def shown(schedule: Schedule) -> ShownSchedule:
    """Put a schedule in words as it is now."""
    return ShownSchedule(schedule, now_ms())


def strips(schedules: Iterable[int]) -> Mapping[int, Strip]:
    """Return the last ticks of each of a page's schedules, by the ids of their rows."""
    ids = list(schedules)
    found: dict[int, list[ShownTick]] = defaultdict(list)
    if ids:
        parts = (_LAST_TICKS.format(number=number) for number in range(len(ids)))
        for tick in Tick.objects.raw(" UNION ALL ".join(parts), ids):
            found[tick.schedule_id].append(ShownTick(tick))
    return {
        schedule: Strip(sorted(ticks, key=lambda each: each.tick.scheduled_at))
        for schedule, ticks in found.items()
    }


def ticks_before(schedule: int, before: int | None) -> TickPage:
    """Return a page of a schedule's ticks, those before a time or the newest."""
    rows = Tick.objects.filter(schedule=schedule).order_by("-scheduled_at")
    if before is not None:
        rows = rows.filter(scheduled_at__lt=before)
    read = list(rows.defer("payload")[: TICKS + 1])
    ticks = [ShownTick(each) for each in read[:TICKS]]
    older = ticks[-1].tick.scheduled_at if len(read) > TICKS else None
    return TickPage(ticks, older, before is None)


def totals() -> ScheduleTotals:
    """Count schedules, and the failures of the last day."""
    alive = Schedule.objects.filter(ended_at=None)
    next_at = Schedule.objects.filter(due_at__isnull=False).aggregate(at=Min("due_at"))["at"]
    now = now_ms()
    failures = Tick.objects.filter(HAS_FAILED, scheduled_at__gt=now - DAY_MS)
    return ScheduleTotals(
        alive.count(),
        None if next_at is None else instant(next_at),
        failures[:MANY_FAILURES].count(),
        next_at is not None and next_at < now - OVERDUE_MS,
    )


def history(schedule: Schedule) -> list[LogEntry]:
    """Return what people have lately done to a schedule, the newest first."""
    lines = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Schedule), object_id=str(schedule.pk)
    )
    return list(lines.select_related("user").order_by("-pk")[:LINES])
