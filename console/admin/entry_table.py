"""How entries are read: lists, columns, and one entry by its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeAlias

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePage, InfinitePaginator
from unfold.views import ChangeList

from console.admin.entry_filters import ExpiryFilter, GroupFilter
from console.entry_calls import EntryCalls, Place
from console.readable import LONGEST_ESCAPE, readable_escapes, readable_json
from kv.clock import now_ms
from kv.models import KvEntry, StateEntry

AnyEntry: TypeAlias = StateEntry | KvEntry

SHORT_VALUE: Final = 160
SHORT_NAME: Final = 60
"""Characters of a value and of a name in a list."""

BEGINNING: Final = (SHORT_VALUE + 1) * LONGEST_ESCAPE
"""Characters of a value that a list reads: enough to fill its column, and to know of more."""

ROWS: Final = 50
"""Entries of a page."""


class EntryPaginator(InfinitePaginator):  # type: ignore[misc]  # Unfold has no types
    """Counts nothing, and reads one row more than a page has, to know whether there is another."""

    template_name = "console/entries/pages.html"

    def page(self, number: int) -> InfinitePage:
        """Return the rows of a page, and the first of the next."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        return self._get_page(self.object_list[start : start + self.per_page + 1], number, self)


class EntryList(ChangeList):  # type: ignore[misc]  # Unfold has no types
    """A list that reads only the beginning of each value, and no more rows than it shows.

    Attributes:
        column: the one that may be long; its beginning is the rows' `beginning`.
        has_next: whether there is another page.
    """

    column: ClassVar[str] = "value"
    has_next: bool
    result_list: Sequence[Any]

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page."""
        super().get_results(request)
        # Where the two differ, Unfold tells the number of results.
        self.full_result_count = self.result_count
        rows = list(self.result_list)
        self.has_next = len(rows) > self.list_per_page
        self.result_list = rows[: self.list_per_page]

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Return the rows without their values."""
        rows: QuerySet[Any] = super().get_queryset(*args, **kwargs)
        shortened: QuerySet[Any] = rows.annotate(beginning=Left(self.column, BEGINNING))
        return shortened.defer(self.column)


class EntryTable(ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    """Lists entries at the same speed whether there are ten or a million.

    Attributes:
        calls: the functions that change the entries.
    """

    calls: ClassVar[EntryCalls]

    list_display: tuple[str, ...] = (
        "shown_group",
        "shown_key",
        "short_value",
        "shown_version",
        "expires",
    )
    list_display_links = ("shown_key",)
    list_filter = (GroupFilter, ExpiryFilter)
    list_per_page = ROWS
    list_disable_select_all = True
    list_before_template = "console/entries/obstacle.html"
    ordering = ("-pk",)
    sortable_by = ()
    # Counting a million rows takes longer than reading fifty.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EntryPaginator
    change_list_template = "console/entries/list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AnyEntry]:
        """Return the entries that have not expired."""
        rows: QuerySet[AnyEntry] = super().get_queryset(request)
        return _live(rows)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EntryList]:
        """Return the list that leaves the values in the database."""
        return EntryList

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        per_page: int,
        *args: Any,
        **kwargs: Any,
    ) -> Paginator[Any]:
        """Count what is no entry: the history of one is short, and shows how long it is."""
        if queryset.model is not self.model:
            return Paginator(queryset, per_page, *args, **kwargs)
        paginator: Paginator[Any] = super().get_paginator(
            request, queryset, per_page, *args, **kwargs
        )
        return paginator

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return where a search looks."""
        return (self.calls.group, "key", "value")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the entries."""
        context = {"obstacle": self.calls.obstacle(), **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    @display(description="key")  # type: ignore[untyped-decorator]
    def shown_key(self, entry: AnyEntry) -> SafeString:
        """Show the beginning of the key."""
        return short_name(entry.key)

    def short_group(self, entry: AnyEntry) -> SafeString:
        """Show the beginning of scope or index; the subclass has the column `shown_group`."""
        return short_name(self.place(entry)[0])

    @display(description="value")  # type: ignore[untyped-decorator]
    def short_value(self, entry: AnyEntry) -> SafeString:
        """Show the beginning of the value."""
        return short_json(entry.beginning)  # type: ignore[union-attr]  # of EntryList

    @display(description="version")  # type: ignore[untyped-decorator]
    def shown_version(self, entry: AnyEntry) -> str:
        """Show the version, without marks between its digits, as workers see it."""
        return str(entry.version)

    @display(description="expires")  # type: ignore[untyped-decorator]
    def expires(self, entry: AnyEntry) -> SafeString | str:
        """Say when it goes."""
        if entry.expires_at is None:
            return "never"
        try:
            instant = dt.datetime.fromtimestamp(entry.expires_at / 1000, dt.UTC)
        except (ValueError, OverflowError):
            return "after the year 9999"
        shown = date_format(instant, "DATETIME_FORMAT")
        return format_html('<span class="iii-nowrap">{}</span>', shown)

    @display(description="value")  # type: ignore[untyped-decorator]
    def shown_value(self, entry: AnyEntry) -> SafeString:
        """Show the value to those who cannot change it."""
        return format_html('<pre class="iii-json iii-block">{}</pre>', readable_json(entry.value))

    def place(self, entry: AnyEntry) -> Place:
        """Return group and key of an entry."""
        return getattr(entry, self.calls.group), entry.key

    def find(self, place: Place) -> AnyEntry | None:
        """Return the entry that is at a place now."""
        group, key = place
        rows: QuerySet[AnyEntry] = self.model._default_manager.all()
        return _live(rows).filter(**{self.calls.group: group, "key": key}).first()

    def list_url(self) -> str:
        """Return where the list is."""
        return self.url("changelist")

    def url(self, view: str, *arguments: Any) -> str:
        """Return where one of the admin's views is."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"
        return reverse(name, args=arguments, current_app=self.admin_site.name)


def _live(rows: QuerySet[AnyEntry]) -> QuerySet[AnyEntry]:
    return rows.filter(Q(expires_at=None) | Q(expires_at__gt=now_ms()))


def short_json(beginning: str) -> SafeString:
    """Return the beginning of JSON text as code."""
    text = readable_escapes(beginning)
    short = text if len(text) <= SHORT_VALUE else f"{text[:SHORT_VALUE]}…"
    return format_html('<code class="iii-id iii-short">{}</code>', short)


def short_name(text: str) -> SafeString:
    """Return the beginning of a name as code, the whole of it where the pointer rests."""
    if len(text) <= SHORT_NAME:
        return format_html('<code class="iii-id iii-nowrap">{}</code>', text)
    short = f"{text[:SHORT_NAME]}…"
    return format_html('<code class="iii-id iii-nowrap" title="{}">{}</code>', text, short)
