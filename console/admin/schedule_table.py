"""How schedules are listed: what is due next, what has become of the last times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from console import schedule_rows
from console.admin.entry_table import ROWS, EntryList, EntryPaginator
from console.live.schedule_actions import schedule_url
from console.live.schedules import VIEW_TICKS
from console.schedule_rows import ScheduleState, Strip, shown
from engine.models import Schedule


class StateFilter(admin.SimpleListFilter):
    """Whether schedules run, and why not."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(state.value, state.label.capitalize()) for state in ScheduleState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        """Narrow the rows."""
        value = self.value()
        if value not in set(ScheduleState):
            return queryset
        return queryset.filter(ScheduleState(value).condition)


class OriginFilter(admin.SimpleListFilter):
    """Whose schedules they are."""

    title = "maker"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(value, str(label).capitalize()) for value, label in Schedule.Origin.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        """Narrow the rows."""
        value = self.value()
        return queryset.filter(origin=value) if value in Schedule.Origin.values else queryset


class ScheduleList(EntryList):
    """A list that reads the last ticks of the rows it shows in one query."""

    column = "payload"

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page, and their last ticks for those who may see them."""
        super().get_results(request)
        found: Mapping[int, Strip] = {}
        if request.user.has_perm(VIEW_TICKS):
            found = schedule_rows.strips(row.pk for row in self.result_list)
        for row in self.result_list:
            row.strip = found.get(row.pk, Strip())

    def url_for_result(self, result: Schedule) -> str:
        """Lead to the schedule's own page, which leads to the form."""
        return schedule_url(result.pk)


IN_ORDER: Final = F("due_at").asc(nulls_last=True)
"""What is due next comes first, and last what never is again."""


class ScheduleTable(ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    """Lists schedules at the same speed whether there are ten or a hundred thousand."""

    list_display = ("schedule", "due", "next_run", "shown_state", "last_runs")
    list_display_links = ("schedule",)
    list_filter = (StateFilter, OriginFilter)
    search_fields = ("schedule_id", "function_id", "expression")
    search_help_text = "Id, function, expression"
    list_per_page = ROWS
    list_disable_select_all = True
    ordering: ClassVar[Any] = (IN_ORDER,)
    sortable_by = ("next_run",)
    actions: ClassVar[Any] = None
    # Counting all rows takes longer than reading fifty.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EntryPaginator
    change_list_template = "console/schedules/list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ScheduleList]:
        """Return the list that reads the last ticks along."""
        return ScheduleList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the schedules."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    # --- columns --------------------------------------------------------------------------------

    @display(description="schedule")  # type: ignore[untyped-decorator]
    def schedule(self, row: Schedule) -> SafeString:
        """Name it, and what it calls; leads to the schedule's page."""
        return _render("name", row)

    @display(description="due")  # type: ignore[untyped-decorator]
    def due(self, row: Schedule) -> SafeString:
        """Say when it is due, in words and as it was written."""
        return _render("due", row)

    @display(description="next run", ordering=IN_ORDER)  # type: ignore[untyped-decorator]
    def next_run(self, row: Schedule) -> SafeString:
        """Say when it is due next."""
        return _render("next_run", row)

    @display(description="state")  # type: ignore[untyped-decorator]
    def shown_state(self, row: Schedule) -> SafeString:
        """Show whether it runs."""
        return _render("state", row)

    @display(description="last runs")  # type: ignore[untyped-decorator]
    def last_runs(self, row: Schedule) -> SafeString:
        """Show what has become of its last times, and how late the last run began."""
        strip: Strip = row.strip  # type: ignore[attr-defined]  # of the list
        return _render("strip", row, strip=strip, with_lateness=True)


def _render(part: str, row: Schedule, **more: Any) -> SafeString:
    """Return a cell: one of the parts that the list and the schedule's page have in common."""
    context = {"schedule": shown(row), **more}
    text = render_to_string(f"console/schedules/{part}.html", context)
    return format_html('<div class="iii-cell">{}</div>', text)
