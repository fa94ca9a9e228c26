"""The ticks of schedules: every time at which one was due, and what has become of it."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from console.admin.entry_table import ROWS, SHORT_NAME, EntryList, EntryPaginator
from console.admin.read_only import ReadOnlyAdmin
from console.instants import instant
from console.live.schedule_actions import schedule_url
from console.live.schedules import is_row_id
from console.readable import readable_json
from console.schedule_rows import ShownTick
from console.templatetags.console_links import detail_url
from console.templatetags.console_spans import duration
from engine.models import Schedule, Tick

MAX_SCHEDULES: Final = 50
"""A list of choices holds no more; others are reached from their own pages."""

WINDOW: Final = 200_000
"""The newest ticks, among which the list looks; those of one schedule are all looked at."""

SHORT_ERROR: Final = 120
"""Characters of an error in a list."""

SCHEDULE: Final = "schedule"
"""The query parameter that names a schedule, by the id of its row."""


class ScheduleFilter(admin.SimpleListFilter):
    """The ticks of one schedule."""

    title = "schedule"
    parameter_name = SCHEDULE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the first schedules by id, and the chosen one."""
        names = Schedule.objects.order_by("schedule_id").values_list("pk", "schedule_id")
        choices = dict(names[:MAX_SCHEDULES])
        chosen = chosen_schedule(request)
        if chosen is not None and chosen not in choices:
            choices.update(names.filter(pk=chosen))
        return [(str(pk), schedule_id) for pk, schedule_id in choices.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tick]) -> QuerySet[Tick]:
        """Narrow the rows."""
        chosen = chosen_schedule(request)
        return queryset if chosen is None else queryset.filter(schedule=chosen)


class StateFilter(admin.SimpleListFilter):
    """Where ticks are on their way, in the words of the pages."""

    title = "outcome"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(state.name.lower(), str(state.label).capitalize()) for state in Tick.State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tick]) -> QuerySet[Tick]:
        """Narrow the rows."""
        wanted = (self.value() or "").upper()
        return queryset.filter(state=Tick.State[wanted]) if wanted in Tick.State.names else queryset


class ReasonFilter(admin.SimpleListFilter):
    """Why ticks were skipped or missed."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(value, str(label).capitalize()) for value, label in Tick.Reason.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tick]) -> QuerySet[Tick]:
        """Narrow the rows."""
        wanted = self.value()
        return queryset.filter(reason=wanted) if wanted in Tick.Reason.values else queryset


class DayFilter(admin.SimpleListFilter):
    """The day on which ticks were due, in UTC."""

    title = "day (UTC)"
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("today", "Today"), ("yesterday", "Yesterday"), ("week", "Last 7 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tick]) -> QuerySet[Tick]:
        """Narrow the rows."""
        today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        match self.value():
            case "today":
                return queryset.filter(scheduled_at__gte=_unix_ms(today))
            case "yesterday":
                yesterday = today - dt.timedelta(days=1)
                span = _unix_ms(yesterday), _unix_ms(today) - 1
                return queryset.filter(scheduled_at__range=span)
            case "week":
                return queryset.filter(scheduled_at__gte=_unix_ms(today - dt.timedelta(days=6)))
        return queryset


class ManualFilter(admin.SimpleListFilter):
    """Whether somebody has asked for a run."""

    title = "asked for"
    parameter_name = "manual"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("yes", "By hand"), ("no", "By its time")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tick]) -> QuerySet[Tick]:
        """Narrow the rows."""
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(is_manual=self.value() == "yes")


class TickList(EntryList):
    """A list that reads the beginning of each error, and looks at no more ticks than it may.

    Attributes:
        older: whether there are ticks at which it does not look.
    """

    column = "error"
    older: bool = False

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Tick]:
        """Return the ticks of the chosen schedule, or the newest ones of all."""
        request: HttpRequest = args[0]
        rows = super().get_queryset(*args, **kwargs).defer("error", "payload", "schedule__payload")
        if chosen_schedule(request) is not None:
            return rows
        newest = Tick.objects.aggregate(pk=Max("pk"))["pk"] or 0
        self.older = Tick.objects.filter(pk__lte=newest - WINDOW).exists()
        return rows.filter(pk__gt=newest - WINDOW)


@admin.register(Tick)
class TickAdmin(ReadOnlyAdmin):
    """Every time at which a schedule was due."""

    list_display = (
        "due",
        "both_names",
        "outcome",
        "lateness",
        "took",
        "short_error",
    )
    list_display_links = ("due",)
    list_filter = (StateFilter, ReasonFilter, DayFilter, ManualFilter, ScheduleFilter)
    search_fields = ("schedule__schedule_id", "schedule__function_id", "error", "trace_id")
    search_help_text = "Schedule, function, error, trace id"
    list_select_related = ("schedule",)
    list_per_page = ROWS
    list_disable_select_all = True
    sortable_by = ()
    # Counting a million rows takes longer than reading fifty.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EntryPaginator
    change_list_template = "console/ticks/list.html"
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["shown_schedule", "function", "outcome", "shown_error"]}),
        ("When", {"fields": ["due_at", "began", "ended", "lateness", "took"]}),
        ("What it was", {"fields": ["asked_for", "shown_payload", "attempts", "trace", "trigger"]}),
    ]
    readonly_fields = (
        "shown_schedule",
        "function",
        "outcome",
        "shown_error",
        "due_at",
        "began",
        "ended",
        "lateness",
        "took",
        "asked_for",
        "shown_payload",
        "trace",
        "trigger",
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the order that an index has: by time within a schedule, else as they came."""
        return ("-pk",) if chosen_schedule(request) is None else ("-scheduled_at",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TickList]:
        """Return the list that leaves long texts in the database."""
        return TickList

    # --- how they are shown ---------------------------------------------------------------------

    @display(description="due (UTC)")  # type: ignore[untyped-decorator]
    def due(self, tick: Tick) -> SafeString:
        """Show when it was due, and whether somebody has asked for it."""
        return format_html(
            '<div class="iii-cell"><span class="iii-nowrap">{}</span>{}</div>',
            date_format(instant(tick.scheduled_at), "DATETIME_FORMAT"),
            format_html('<span class="iii-note">{}</span>', "by hand") if tick.is_manual else "",
        )

    @display(description="schedule")  # type: ignore[untyped-decorator]
    def shown_schedule(self, tick: Tick) -> SafeString:
        """Lead to the schedule's page."""
        return format_html(
            '<a class="iii-link" href="{}">{}</a>',
            schedule_url(tick.schedule_id),
            _name(tick.schedule.schedule_id),
        )

    @display(description="function")  # type: ignore[untyped-decorator]
    def function(self, tick: Tick) -> SafeString:
        """Lead to the function's page."""
        schedule = tick.schedule
        url = detail_url("live-function", schedule.function_id, schedule.namespace)
        name = _name(schedule.function_id)
        return format_html('<a class="iii-link" href="{}">{}</a>', url, name)

    @display(description="schedule and function")  # type: ignore[untyped-decorator]
    def both_names(self, tick: Tick) -> SafeString:
        """Lead to both of their pages."""
        return format_html(
            '<div class="iii-cell">{}<span class="iii-note">{}</span></div>',
            self.shown_schedule(tick),
            self.function(tick),
        )

    @display(description="outcome")  # type: ignore[untyped-decorator]
    def outcome(self, tick: Tick) -> SafeString:
        """Show what has become of it, and why."""
        context = {"each": ShownTick(tick)}
        return render_to_string("console/schedules/tick_state.html", context)

    @display(description="late")  # type: ignore[untyped-decorator]
    def lateness(self, tick: Tick) -> SafeString:
        """Say how late it began."""
        return _nowrap(duration(ShownTick(tick).lateness_ms))

    @display(description="took")  # type: ignore[untyped-decorator]
    def took(self, tick: Tick) -> SafeString:
        """Say how long its run took."""
        return _nowrap(duration(ShownTick(tick).duration_ms))

    @display(description="error")  # type: ignore[untyped-decorator]
    def short_error(self, tick: Tick) -> SafeString | str:
        """Show the first line of its error."""
        line = str(tick.beginning).split("\n", 1)[0].rstrip()  # type: ignore[attr-defined]
        short = line if len(line) <= SHORT_ERROR else f"{line[:SHORT_ERROR]}…"
        return format_html('<span class="iii-short">{}</span>', short) if short else "–"

    @display(description="error")  # type: ignore[untyped-decorator]
    def shown_error(self, tick: Tick) -> SafeString | str:
        """Show its error, or more about the reason."""
        return _block(tick.error) if tick.error else "–"

    @display(description="due")  # type: ignore[untyped-decorator]
    def due_at(self, tick: Tick) -> SafeString:
        """Show when it was due, jitter and all."""
        jitter = tick.run_at - tick.scheduled_at
        more = f", to begin {jitter} ms later (jitter)" if jitter else ""
        return format_html("{}{}", _instant(tick.scheduled_at), more)

    @display(description="began")  # type: ignore[untyped-decorator]
    def began(self, tick: Tick) -> SafeString | str:
        """Show when its function was called."""
        return "it was not called" if tick.started_at is None else _instant(tick.started_at)

    @display(description="ended")  # type: ignore[untyped-decorator]
    def ended(self, tick: Tick) -> SafeString | str:
        """Show when its outcome was known."""
        return "–" if tick.finished_at is None else _instant(tick.finished_at)

    @display(description="asked for")  # type: ignore[untyped-decorator]
    def asked_for(self, tick: Tick) -> str:
        """Say whether somebody has asked for it."""
        return "by hand" if tick.is_manual else "by its time"

    @display(description="payload")  # type: ignore[untyped-decorator]
    def shown_payload(self, tick: Tick) -> SafeString | str:
        """Show a payload of its own."""
        return _block(readable_json(tick.payload)) if tick.payload else "the schedule's"

    @display(description="trace id")  # type: ignore[untyped-decorator]
    def trace(self, tick: Tick) -> SafeString | str:
        """Show the trace of its call, to be copied with one click."""
        return _copied(tick.trace_id)

    @display(description="trigger id")  # type: ignore[untyped-decorator]
    def trigger(self, tick: Tick) -> SafeString | str:
        """Show whose job it was."""
        return _copied(tick.trigger_id)


def chosen_schedule(request: HttpRequest) -> int | None:
    """Return the schedule that the query string names; None for all."""
    text = request.GET.get(SCHEDULE, "")
    return int(text) if is_row_id(text) else None


def _name(text: str) -> SafeString:
    short = text if len(text) <= SHORT_NAME else f"{text[:SHORT_NAME]}…"
    return format_html('<code class="iii-id" title="{}">{}</code>', text, short)


def _unix_ms(at: dt.datetime) -> int:
    return int(at.timestamp() * 1_000)


def _nowrap(text: str) -> SafeString:
    return format_html('<span class="iii-nowrap">{}</span>', text)


def _instant(unix_ms: int) -> SafeString:
    at = instant(unix_ms)
    return format_html(
        '<span class="iii-nowrap">{}.{} UTC</span>',
        date_format(at, "DATETIME_FORMAT"),
        f"{at.microsecond // 1_000:03}",
    )


def _block(text: str) -> SafeString:
    return format_html('<pre class="iii-json iii-block">{}</pre>', text)


def _copied(text: str) -> SafeString | str:
    return format_html('<code class="iii-id iii-copied">{}</code>', text) if text else "–"
