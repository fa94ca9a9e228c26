"""The schedules: Django reads the rows, the running engine changes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from console import cron_calls
from console.admin.schedule_table import ScheduleTable
from console.engine_calls import (
    EngineNotRunning,
    EngineTooSlow,
    InvocationFailed,
    WriteFailed,
)
from console.json_field import is_editable
from console.live.functions import list_functions
from console.live.schedule_actions import record_schedule, schedule_url
from console.live.schedules import VIEW_SCHEDULES, find_row, is_row_id
from console.schedule_forms import (
    FUNCTIONS,
    ZONES,
    NewScheduleForm,
    ScheduleForm,
    initial_of,
)
from console.schedule_rows import shown
from engine.models import Schedule
from engine.modules.cron.dialect.zones import zone_names

MAX_FUNCTIONS: Final = 1_000
"""A list that completes what is typed holds no more."""

SECTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("", ("schedule_id",)),
    ("When", ("expression", "timezone")),
    ("What it calls", ("function_id", "payload")),
    (
        "How",
        (
            "overlap",
            "misfire",
            "jitter_ms",
            "timeout_ms",
            "condition_function_id",
            "namespace",
            "repeat_interrupted",
            "is_enabled",
        ),
    ),
)
"""The fields of the form under their headings."""


@admin.register(Schedule)
class ScheduleAdmin(ScheduleTable):
    """Lists schedules, and hands changes of people's to the engine.

    Django's views for changes begin with a transaction. On SQLite that would take the write
    lock, for which the engine's one writer would wait while the view waits for it: so none of
    them is used. A schedule's own page, with its ticks, is a live one.
    """

    def has_change_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Tell whether the user may change a schedule; a worker's is its worker's to change."""
        may: bool = super().has_change_permission(request, obj)
        return may and (obj is None or obj.origin == Schedule.Origin.PERSON)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form of a schedule, or have stored what it says."""
        return self._add(request) if object_id is None else self._change(request, object_id)

    def _add(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._show_form(request, NewScheduleForm(), None)
        return self._take(request, NewScheduleForm(request.POST), None)

    def _change(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._find(object_id)
        if row is None:
            return self._gone(request)
        if not self.has_change_permission(request, row):
            if request.method == "POST":
                raise PermissionDenied
            return HttpResponseRedirect(schedule_url(row.pk))
        if request.method == "POST":
            return self._take(request, ScheduleForm(request.POST), row)
        if not is_editable(row.payload):
            self.message_user(
                request, "Its payload is too large to be edited in a browser.", messages.WARNING
            )
            return HttpResponseRedirect(schedule_url(row.pk))
        return self._show_form(request, ScheduleForm(initial=initial_of(row)), row)

    def _take(self, request: HttpRequest, form: ScheduleForm, row: Schedule | None) -> HttpResponse:
        """Have stored what a form says, or show what is wrong with it."""
        if form.is_valid():
            try:
                return self._save(request, form, row)
            except WriteFailed as error:
                form.add_error(None, error.message)
        return self._show_form(request, form, row)

    def _save(self, request: HttpRequest, form: ScheduleForm, row: Schedule | None) -> HttpResponse:
        if row is None:
            return self._save_new(request, form)
        changes = form.changes(row)
        if not changes:
            self.message_user(request, "Nothing was changed.", messages.INFO)
            return self._show_saved(request, row)
        cron_calls.save({"schedule_id": row.schedule_id, **form.settings}, is_new=False)
        record_schedule(request, row, CHANGE, f"Changed {', '.join(changes)}")
        self.message_user(request, f"{row.schedule_id} was changed.", messages.SUCCESS)
        return self._show_saved(request, row)

    def _save_new(self, request: HttpRequest, form: ScheduleForm) -> HttpResponse:
        cron_calls.save(form.settings, is_new=True)
        schedule_id: str = form.cleaned_data["schedule_id"]
        row = Schedule.objects.filter(schedule_id=schedule_id).first()
        if row is None:  # somebody was faster in deleting it
            return self._gone(request)
        record_schedule(request, row, ADDITION, f"Added, due {row.expression}")
        self.message_user(request, f"{schedule_id} was added.", messages.SUCCESS)
        return self._show_saved(request, row)

    def _show_saved(self, request: HttpRequest, row: Schedule) -> HttpResponse:
        """Lead to the schedule's page; who may not see it goes to the overview."""
        may_see = request.user.has_perm(VIEW_SCHEDULES)
        return HttpResponseRedirect(schedule_url(row.pk) if may_see else reverse("admin:index"))

    def _show_form(
        self, request: HttpRequest, form: ScheduleForm, row: Schedule | None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Add schedule" if row is None else "Change schedule",
            "subtitle": None if row is None else row.schedule_id,
            "form": form,
            "sections": _sections(form),
            "functions_list": FUNCTIONS,
            "functions": _functions(),
            "zones_list": ZONES,
            "zones": sorted(zone_names()),
            "back_url": self._list_url() if row is None else schedule_url(row.pk),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "console/schedules/form.html", context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask whether to delete a schedule, or have it deleted."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        row = self._find(object_id)
        if row is None:
            return self._gone(request)
        if request.method == "POST":
            try:
                cron_calls.remove(row.schedule_id)
            except WriteFailed as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                record_schedule(request, row, DELETION, f"Deleted, was due {row.expression}")
                self.message_user(request, f"{row.schedule_id} was deleted.", messages.SUCCESS)
                return HttpResponseRedirect(self._list_url())
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete schedule",
            "subject": row.schedule_id,
            "home_url": schedule_url(row.pk),
            "schedule": shown(row),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "console/schedules/delete.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the schedule's page, which has its history."""
        row = self._find(object_id)
        return self._gone(request) if row is None else HttpResponseRedirect(schedule_url(row.pk))

    def _find(self, object_id: str) -> Schedule | None:
        text = unquote(object_id)
        return find_row(int(text)) if is_row_id(text) else None

    def _gone(self, request: HttpRequest) -> HttpResponse:
        self.message_user(request, "This schedule is not there any more.", messages.WARNING)
        return HttpResponseRedirect(self._list_url())

    def _list_url(self) -> str:
        return reverse("admin:engine_schedule_changelist", current_app=self.admin_site.name)


def _sections(form: ScheduleForm) -> Iterator[tuple[str, list[Any]]]:
    for title, names in SECTIONS:
        fields = [form[name] for name in names if name in form.fields]
        if fields:
            yield title, fields


def _functions() -> list[str]:
    """Return the ids of the functions that can be called now; none where the engine is away."""
    try:
        return [each.function_id for each in list_functions()[:MAX_FUNCTIONS]]
    except (EngineNotRunning, EngineTooSlow, InvocationFailed):
        return []
