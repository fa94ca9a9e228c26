"""The messages of queues, one row for each function that gets one; the engine changes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, ClassVar, Final

import msgspec
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, DELETION
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from console import queue_calls
from console.admin.entry_table import ROWS, EntryList, EntryPaginator, short_json, short_name
from console.admin.read_only import ReadOnlyAdmin
from console.engine_calls import WriteFailed
from console.instants import instant
from console.live.queue_actions import DISCARD, REDRIVE, counted, queue_url, record_queue
from console.queue_rows import IS_DEAD, first_line
from console.readable import readable_json
from engine.models import Delivery, Queue
from engine.modules.queue.adapters.base import QueueKind, QueueName

State = Delivery.State

MAX_QUEUES: Final = 50
"""A list of choices holds no more; others are reached from their own pages."""

SHORT_ID: Final = 12
"""Characters of a message's id in a list."""

SHORT_ERROR: Final = 120
"""Characters of an error in a list."""

Act = Callable[[QueueName, dict[str, Any]], int]
"""What is done to chosen dead letters of a queue; it returns to how many."""


class Attempt(msgspec.Struct):
    """A failed attempt as `Delivery.history` keeps it; `at` in Unix milliseconds."""

    attempt: int
    at: int
    error: str


class MessageList(EntryList):
    """A list that reads the beginning of each payload."""

    column = "data"


class QueueFilter(admin.SimpleListFilter):
    """The messages of one queue."""

    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the first queues by name, and the chosen one."""
        queues = Queue.objects.order_by("name", "kind").values_list("kind", "name")[:MAX_QUEUES]
        choices = {f"{kind}:{name}": name for kind, name in queues}
        chosen = self.value()
        if chosen is not None:
            choices.setdefault(chosen, chosen.partition(":")[2])
        return list(choices.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the rows."""
        chosen = self.value()
        if chosen is None:
            return queryset
        kind, _, name = chosen.partition(":")
        return queryset.filter(queue__kind=kind, queue__name=name)


class StateFilter(admin.SimpleListFilter):
    """Where messages are on their way, in the words of the figures."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [
            ("waiting", "Waiting"),
            ("delayed", "Delayed"),
            ("in-flight", "In flight"),
            ("dead", "Dead letters"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Narrow the rows."""
        match self.value():
            case "waiting":
                return queryset.filter(state__in=(State.READY, State.BEHIND, State.UNCLAIMED))
            case "delayed":
                return queryset.filter(state=State.DELAYED)
            case "in-flight":
                return queryset.filter(state=State.CLAIMED)
            case "dead":
                return queryset.filter(IS_DEAD)
        return queryset


@admin.register(Delivery)
class MessageAdmin(ReadOnlyAdmin):
    """Messages that wait, are on their way or have died; those that succeeded are gone."""

    list_display = (
        "message",
        "shown_queue",
        "function",
        "shown_state",
        "attempts",
        "short_error",
        "short_data",
        "enqueued",
    )
    list_display_links = ("message",)
    list_filter = (StateFilter, QueueFilter)
    search_fields = ("message_id", "function_id", "error", "data")
    search_help_text = "Message id, function, error, payload"
    list_select_related = ("queue",)
    list_per_page = ROWS
    list_disable_select_all = True
    ordering = ("-pk",)
    sortable_by = ()
    # Counting a million rows takes longer than reading fifty.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EntryPaginator
    actions: ClassVar[Any] = ("redrive_chosen", "discard_chosen")
    change_list_template = "console/queues/messages.html"
    change_form_template = "console/queues/message.html"
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["shown_queue", "function", "shown_state", "attempts", "shown_data"]}),
        ("What went wrong", {"fields": ["shown_error", "shown_history"]}),
        ("When", {"fields": ["enqueued", "due", "expires", "died"]}),
        ("Names", {"fields": ["message_id", "message_group", "shown_context"]}),
    ]
    readonly_fields = (
        "shown_queue",
        "function",
        "shown_state",
        "shown_data",
        "shown_error",
        "shown_history",
        "enqueued",
        "due",
        "expires",
        "died",
        "shown_context",
    )

    # --- redrive and discard --------------------------------------------------------------------

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may let dead letters be delivered anew."""
        return request.user.has_perm(REDRIVE)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may delete dead letters."""
        return request.user.has_perm(DISCARD)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the messages, or have an action done, for which nothing is written here."""
        is_action = request.method == "POST" and "action" in request.POST
        show = ModelAdmin.changelist_view if is_action else ReadOnlyAdmin.changelist_view
        response: HttpResponse = show(self, request, *args, **kwargs)
        return response

    @admin.action(permissions=["redrive"], description="Redrive chosen dead letters")
    def redrive_chosen(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> HttpResponse | None:
        """Ask whether to have dead letters delivered anew, or have it done."""
        return self._act(request, queryset, "redrive")

    @admin.action(permissions=["discard"], description="Discard chosen dead letters")
    def discard_chosen(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> HttpResponse | None:
        """Ask whether to delete dead letters, or have it done."""
        return self._act(request, queryset, "discard")

    def _act(
        self, request: HttpRequest, queryset: QuerySet[Delivery], verb: str
    ) -> HttpResponse | None:
        rows = queryset.filter(state=State.DEAD).defer("data", "context", "history")
        letters = list(rows.select_related("queue").order_by("queue_id", "pk")[:ROWS])
        if not letters:
            self.message_user(request, "None of these is a dead letter.", messages.WARNING)
            return None
        if "confirmed" not in request.POST:
            return self._ask(request, letters, verb)
        for queue, chosen in groupby(letters, _queue_of):
            try:
                self._do(request, queue, [each.pk for each in chosen], verb)
            except WriteFailed as error:
                self.message_user(request, f"{queue.name}: {error.message}", messages.ERROR)
        return None

    def _do(self, request: HttpRequest, queue: QueueName, ids: list[int], verb: str) -> None:
        act, flag, past = _ACTS[verb]
        line = f"{past} {counted(act(queue, queue_calls.by_ids(ids)))}, chosen one by one"
        record_queue(request, queue, flag, line)
        self.message_user(request, f"{queue.name}: {line}.", messages.SUCCESS)

    def _ask(self, request: HttpRequest, letters: Sequence[Delivery], verb: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {counted(len(letters))}",
            "opts": self.opts,
            "letters": letters,
            "verb": verb,
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "console/queues/confirm.html", context)

    # --- how they are shown ---------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[MessageList]:
        """Return the list that leaves the payloads in the database."""
        return MessageList

    @display(description="message")  # type: ignore[untyped-decorator]
    def message(self, delivery: Delivery) -> SafeString:
        """Show the end of the message's id: the ids of one engine begin alike."""
        return format_html(
            '<code class="iii-id iii-nowrap" title="{}">…{}</code>',
            delivery.message_id,
            delivery.message_id[-SHORT_ID:],
        )

    @display(description="queue")  # type: ignore[untyped-decorator]
    def shown_queue(self, delivery: Delivery) -> SafeString:
        """Lead to the queue's page."""
        queue = _queue_of(delivery)
        return format_html(
            '<a class="iii-link" href="{}">{}</a>', queue_url(queue), short_name(queue.name)
        )

    @display(description="function")  # type: ignore[untyped-decorator]
    def function(self, delivery: Delivery) -> SafeString | str:
        """Show who gets it."""
        return short_name(delivery.function_id) if delivery.function_id else "nobody yet"

    @display(  # type: ignore[untyped-decorator]
        description="state",
        label={
            State.READY.label: "",
            State.CLAIMED.label: "info",
            State.DELAYED.label: "warning",
            State.BEHIND.label: "",
            State.DEAD.label: "danger",
            State.UNCLAIMED.label: "",
        },
    )
    def shown_state(self, delivery: Delivery) -> str:
        """Show where it is on its way."""
        return State(delivery.state).label

    @display(description="error")  # type: ignore[untyped-decorator]
    def short_error(self, delivery: Delivery) -> SafeString | str:
        """Show the first line of the last error."""
        line = first_line(delivery.error)
        short = line if len(line) <= SHORT_ERROR else f"{line[:SHORT_ERROR]}…"
        return format_html('<span class="iii-short">{}</span>', short) if short else "–"

    @display(description="payload")  # type: ignore[untyped-decorator]
    def short_data(self, delivery: Delivery) -> SafeString:
        """Show the beginning of the payload."""
        return short_json(delivery.beginning)  # type: ignore[attr-defined]  # of MessageList

    @display(description="payload")  # type: ignore[untyped-decorator]
    def shown_data(self, delivery: Delivery) -> SafeString:
        """Show the payload, indented."""
        return _block(readable_json(delivery.data))

    @display(description="last error")  # type: ignore[untyped-decorator]
    def shown_error(self, delivery: Delivery) -> SafeString | str:
        """Show why the last attempt failed."""
        return _block(delivery.error) if delivery.error else "–"

    @display(description="failed attempts")  # type: ignore[untyped-decorator]
    def shown_history(self, delivery: Delivery) -> SafeString | str:
        """Show every failed attempt that is remembered."""
        if not delivery.history:
            return "–"
        attempts = msgspec.json.decode(delivery.history, type=list[Attempt])
        return format_html_join(
            "",
            '<p class="iii-note">Attempt {}, {}</p>{}',
            ((each.attempt, _instant(each.at), _block(each.error)) for each in attempts),
        )

    @display(description="trace and metadata")  # type: ignore[untyped-decorator]
    def shown_context(self, delivery: Delivery) -> SafeString | str:
        """Show what goes along with it."""
        return _block(readable_json(delivery.context)) if delivery.context else "–"

    @display(description="enqueued")  # type: ignore[untyped-decorator]
    def enqueued(self, delivery: Delivery) -> SafeString | str:
        """Say since when it is there."""
        return _instant(delivery.enqueued_at)

    @display(description="due")  # type: ignore[untyped-decorator]
    def due(self, delivery: Delivery) -> SafeString | str:
        """Say when it may be delivered."""
        return _instant(delivery.run_at) if delivery.run_at else "at once"

    @display(description="expires")  # type: ignore[untyped-decorator]
    def expires(self, delivery: Delivery) -> SafeString | str:
        """Say from when on nobody gets it."""
        return "never" if delivery.expires_at is None else _instant(delivery.expires_at)

    @display(description="died")  # type: ignore[untyped-decorator]
    def died(self, delivery: Delivery) -> SafeString | str:
        """Say when it became a dead letter."""
        return "–" if delivery.failed_at is None else _instant(delivery.failed_at)


_ACTS: Final[dict[str, tuple[Act, int, str]]] = {
    "redrive": (queue_calls.redrive, CHANGE, "Redrove"),
    "discard": (queue_calls.discard, DELETION, "Discarded"),
}


def _queue_of(delivery: Delivery) -> QueueName:
    return QueueName(QueueKind(delivery.queue.kind), delivery.queue.name)


def _block(text: str) -> SafeString:
    return format_html('<pre class="iii-json iii-block">{}</pre>', text)


def _instant(unix_ms: int) -> SafeString | str:
    try:
        shown = date_format(instant(unix_ms), "DATETIME_FORMAT")
    except (ValueError, OverflowError):
        return "after the year 9999"
    return format_html('<span class="iii-nowrap">{}</span>', shown)
