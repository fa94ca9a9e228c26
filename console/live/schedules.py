"""One schedule as it is now: when it runs next, and what has become of the times before."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.views import View

from console import schedule_rows
from console.engine_calls import InvocationFailed, call
from console.live.page import LivePage
from console.readable import readable_json
from console.schedule_rows import ShownSchedule, Strip
from console.schedule_times import preview
from engine.apps import get_engine
from engine.models import Schedule, ScheduleOwner

VIEW_SCHEDULES: Final = "engine.view_schedule"
ADD_SCHEDULES: Final = "engine.add_schedule"
CHANGE_SCHEDULES: Final = "engine.change_schedule"
VIEW_TICKS: Final = "engine.view_tick"

LONGEST_ID: Final = len(str(2**63))
"""Digits of a number that a database takes for certain are fewer."""


class SchedulePage(LivePage):
    """One schedule; `?before=` shows older ticks."""

    name = "schedule"
    route = "engine/schedule/<int:pk>/"
    title = "Schedule"
    permission = VIEW_SCHEDULES
    part_template = "console/schedules/schedule.html"

    @cached_property
    def row(self) -> Schedule | None:
        """The schedule; None if it is gone."""
        return find_row(self.kwargs["pk"])

    def subject(self, request: HttpRequest) -> str:
        """Return its id."""
        return "" if self.row is None else self.row.schedule_id

    def read(self, request: HttpRequest) -> dict[str, Any]:
        """Read the schedule, and its ticks for those who may see them."""
        get_engine()
        if self.row is None:
            raise InvocationFailed("schedule_not_found", "There is no such schedule any more")
        schedule = schedule_rows.shown(self.row)
        context: dict[str, Any] = {
            "schedule": schedule,
            "runs": schedule.next_runs(),
            "payload": readable_json(self.row.payload) if self.row.payload else "",
            "engines": ScheduleOwner.objects.filter(schedule=self.row).count(),
            "is_missing": schedule.is_persons and not _is_offered(schedule),
        }
        if request.user.has_perm(VIEW_TICKS):  # lines of the history may hold parts of payloads
            context["strip"] = schedule_rows.strips([self.row.pk]).get(self.row.pk, Strip())
            context["page"] = schedule_rows.ticks_before(self.row.pk, _before(request))
            context["history"] = schedule_rows.history(self.row)
        return context


class PreviewView(View):
    """Tells the form's script what an expression means: `?expression=…&timezone=…`."""

    name = "schedule-preview"
    route = "engine/schedule/preview/"

    def get(self, request: HttpRequest) -> JsonResponse:
        """Answer with `console.schedule_times.preview`."""
        user = request.user
        if not (user.has_perm(ADD_SCHEDULES) or user.has_perm(CHANGE_SCHEDULES)):
            raise PermissionDenied
        expression, timezone = request.GET.get("expression", ""), request.GET.get("timezone", "")
        return JsonResponse(preview(expression, timezone, dt.datetime.now(dt.UTC)))


def find_row(pk: int) -> Schedule | None:
    """Return a schedule by the id of its row; None if there is none."""
    return Schedule.objects.filter(pk=pk).first() if is_row_id(str(pk)) else None


def is_row_id(text: str) -> bool:
    """Tell whether a text from an address may be the id of a row, or a time."""
    return text.isascii() and text.isdecimal() and len(text) < LONGEST_ID


def _is_offered(schedule: ShownSchedule) -> bool:
    row = schedule.row
    payload = {"function_id": row.function_id, "namespace": row.namespace or None}
    try:
        call("engine::functions::info", payload, dict)
    except InvocationFailed:
        return False
    return True


def _before(request: HttpRequest) -> int | None:
    text = request.GET.get("before", "")
    return int(text) if is_row_id(text) else None
