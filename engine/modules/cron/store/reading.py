"""Schedules and ticks as people see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import OuterRef, Q, QuerySet, Subquery

from engine.models import Schedule, Tick
from engine.modules.cron.records import ListedSchedule, SchedulePage, TickRecord, TickState
from engine.modules.cron.store.rows import SCHEDULE_FIELDS, TICK_FIELDS, known, tick_record
from kv.clock import now_ms

OVER: Final = Q(ended_at__isnull=False) | Q(next_at=None)
"""Never due again."""

STATES: Final = {
    "ended": OVER,
    "detached": ~OVER & Q(detached_at__isnull=False),
    "disabled": ~OVER & Q(detached_at=None, is_enabled=False),
    "paused": ~OVER & Q(detached_at=None, is_enabled=True, is_paused=True),
    "active": ~OVER & Q(detached_at=None, is_enabled=True, is_paused=False),
}
"""The one state that a schedule is in, by the name that people see."""

_LAST: Final = len(SCHEDULE_FIELDS)


class Reading:
    """Every method runs in a database thread, and only reads."""

    def __init__(self, alias: str) -> None:
        self._schedules = Schedule.objects.using(alias)
        self._ticks = Tick.objects.using(alias)

    def find(self, schedule_id: str) -> ListedSchedule | None:
        """Return one schedule."""
        found = self._listed(self._schedules.filter(schedule_id=schedule_id))
        return found[0] if found else None

    def page(
        self, *, search: str, origin: str, state: str, function_id: str, limit: int, offset: int
    ) -> SchedulePage:
        """Return some schedules, in the order of their ids."""
        rows = self._schedules.all()
        if search:
            rows = rows.filter(Q(schedule_id__icontains=search) | Q(function_id__icontains=search))
        if origin:
            rows = rows.filter(origin=origin)
        if state:
            rows = rows.filter(STATES[state])
        if function_id:
            rows = rows.filter(function_id=function_id)
        page = rows.order_by("schedule_id")[offset : offset + limit]
        return SchedulePage(self._listed(page), rows.count())

    def _listed(self, rows: QuerySet[Schedule]) -> list[ListedSchedule]:
        # Not what is still to come: it may be claimed already.
        of_schedule = self._ticks.filter(
            schedule=OuterRef("id"), state__gt=TickState.DUE, run_at__lte=now_ms()
        )
        last = of_schedule.order_by("-scheduled_at").values("id")[:1]
        found: Sequence[Sequence[Any]] = list(
            rows.annotate(last=Subquery(last)).values_list(
                *SCHEDULE_FIELDS, "detached_at", "ended_at", "last"
            )
        )
        ticks = {each.id: each for each in self._records(row[_LAST + 2] for row in found)}
        return [
            ListedSchedule(known(row), row[_LAST], row[_LAST + 1], ticks.get(row[_LAST + 2]))
            for row in found
        ]

    def _records(self, ids: Iterable[int | None]) -> Sequence[TickRecord]:
        rows = self._ticks.filter(id__in=[each for each in ids if each is not None])
        return [tick_record(row) for row in rows.values_list(*TICK_FIELDS)]

    def tick(self, tick_id: int) -> TickRecord | None:
        """Return one tick."""
        found = self._records((tick_id,))
        return found[0] if found else None

    def ticks(
        self, *, schedule_id: str, state: TickState | None, limit: int, before_id: int | None
    ) -> Sequence[TickRecord]:
        """Return ticks, the newest rows first."""
        rows = self._ticks.all()
        if schedule_id:
            rows = rows.filter(schedule__schedule_id=schedule_id)
        if state is not None:
            rows = rows.filter(state=state.value)
            if state > TickState.DONE:
                rows = rows.filter(state__gt=TickState.DONE.value)  # as its index says
        if before_id is not None:
            rows = rows.filter(id__lt=before_id)
        return [tick_record(row) for row in rows.order_by("-id").values_list(*TICK_FIELDS)[:limit]]
