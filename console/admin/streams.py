"""The items of streams, to look at: workers change them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from console.admin.entry_table import EntryTable, short_name
from console.admin.read_only import ReadOnlyAdmin
from console.entry_calls import EntryCalls
from streams.models import StreamItem
from streams.module import StreamModule


@admin.register(StreamItem)
class StreamItemAdmin(ReadOnlyAdmin, EntryTable):
    """Stream items, by stream, group and item id."""

    calls = EntryCalls("stream", "stream_name", StreamModule)

    list_display = ("stream", "group", "item", "short_value", "shown_version", "expires")
    list_display_links = ("item",)
    search_help_text = "Stream, group, item id, text of the value"
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["stream", "group", "item", "shown_value"]}),
        ("Life", {"fields": ["shown_version", "expires"]}),
    ]
    readonly_fields = ("stream", "group", "item", "shown_value", "shown_version", "expires")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return where a search looks."""
        return ("stream_name", "group_id", "item_id", "value")

    @display(description="stream")  # type: ignore[untyped-decorator]
    def stream(self, item: StreamItem) -> SafeString:
        """Show the beginning of the stream's name."""
        return short_name(item.stream_name)

    @display(description="group")  # type: ignore[untyped-decorator]
    def group(self, item: StreamItem) -> SafeString:
        """Show the beginning of the group's id."""
        return short_name(item.group_id)

    @display(description="item")  # type: ignore[untyped-decorator]
    def item(self, item: StreamItem) -> SafeString:
        """Show the beginning of the item's id."""
        return short_name(item.item_id)
