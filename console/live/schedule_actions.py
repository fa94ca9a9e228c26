"""Pages that have something done to a schedule: each says first what will happen."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from console import cron_calls, schedule_rows
from console.engine_calls import WriteFailed
from console.history import record
from console.live.action import Action
from console.live.schedules import find_row
from console.readable import readable_json
from console.schedule_forms import RunForm
from engine.models import Schedule

RUN: Final = "engine.run_schedule"
PAUSE: Final = "engine.pause_schedule"


class ScheduleAction(Action):
    """A page that has something done to a schedule, and goes back to its page."""

    schedule: Schedule

    def find(self, request: HttpRequest) -> None:
        """Find the schedule."""
        row = find_row(self.kwargs["pk"])
        if row is None:
            raise Http404("no such schedule")
        self.schedule = row

    def subject(self) -> str:
        """Return its id."""
        return self.schedule.schedule_id

    def home_url(self) -> str:
        """Return where its page is."""
        return schedule_url(self.schedule.pk)

    def record(self, request: HttpRequest, flag: int, line: str) -> None:
        """Write a line of its history."""
        record_schedule(request, self.schedule, flag, line)

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the schedule in words."""
        return {"schedule": schedule_rows.shown(self.schedule)}


class RunAction(ScheduleAction):
    """Lets a schedule's function be called now."""

    name = "schedule-run"
    route = "engine/schedule/<int:pk>/run/"
    title = "Run now"
    permission = RUN
    template = "console/schedules/run.html"

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the form, and the payload that the function always gets."""
        payload = self.schedule.payload
        return {
            **super().context(request),
            "form": RunForm(),
            "payload": readable_json(payload) if payload else "",
        }

    def act(self, request: HttpRequest) -> HttpResponse:
        """Have it called, with what the form says."""
        form = RunForm(request.POST)
        if not form.is_valid():
            return self.show(request, form=form)
        payload: bytes = form.cleaned_data["payload"]
        try:
            cron_calls.run_now(self.schedule.schedule_id, payload)
        except WriteFailed as error:
            messages.error(request, error.message)
            return self.show(request, form=form)
        how = " with a payload of its own" if payload else ""
        return self.done(request, CHANGE, f"Asked for a run now{how}")


class PauseAction(ScheduleAction):
    """Pauses a schedule, or lets it go on."""

    name = "schedule-pause"
    route = "engine/schedule/<int:pk>/pause/"
    title = "Pause or resume"
    permission = PAUSE
    template = "console/schedules/pause.html"

    def act(self, request: HttpRequest) -> HttpResponse:
        """Do what the button said, whatever somebody else has done meanwhile."""
        is_paused = request.POST.get("wanted") == "pause"
        cron_calls.set_paused(self.schedule.schedule_id, is_paused=is_paused)
        return self.done(request, CHANGE, "Paused" if is_paused else "Resumed")


class SkipAction(ScheduleAction):
    """Lets the next time of a schedule be skipped, or not any more."""

    name = "schedule-skip"
    route = "engine/schedule/<int:pk>/skip/"
    title = "Skip the next run"
    permission = PAUSE
    template = "console/schedules/skip.html"

    def act(self, request: HttpRequest) -> HttpResponse:
        """Do what the button said, whatever somebody else has done meanwhile."""
        is_skipped = request.POST.get("wanted") == "skip"
        cron_calls.skip_next(self.schedule.schedule_id, is_skipped=is_skipped)
        if not is_skipped:
            return self.done(request, CHANGE, "The next run is not skipped any more")
        self.schedule.refresh_from_db()
        skipped = schedule_rows.shown(self.schedule).skip_until
        which = "" if skipped is None else f", that of {skipped.first}"
        return self.done(request, CHANGE, f"The next run is skipped{which}")


def schedule_url(pk: int) -> str:
    """Return where the page of a schedule is, by the id of its row."""
    return reverse("admin:schedule", args=[pk])


def record_schedule(request: HttpRequest, schedule: Schedule, flag: int, line: str) -> None:
    """Write a line of a schedule's history."""
    record(request, Schedule, schedule.pk, schedule.schedule_id, flag, line)


ACTIONS: Final[tuple[type[ScheduleAction], ...]] = (RunAction, PauseAction, SkipAction)
