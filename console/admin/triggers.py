"""The triggers as the engine has written them down."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from console.admin.read_only import ReadOnlyAdmin
from console.readable import readable_json
from engine.models import Trigger


class StateFilter(admin.SimpleListFilter):
    """How far a trigger has come, in the words that the engine uses everywhere."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(state, state) for state in Trigger.State.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trigger]) -> QuerySet[Trigger]:
        """Narrow the rows to live triggers in this state."""
        state = self.value()
        return queryset if state is None else queryset.filter(state=state, detached_at=None)


class OwnerFilter(admin.SimpleListFilter):
    """Whether the owner of a trigger is connected."""

    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("here", "Connected"), ("gone", "Gone"), ("nobody", "Nobody")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trigger]) -> QuerySet[Trigger]:
        """Narrow the rows."""
        match self.value():
            case "here":
                return queryset.filter(is_owned=True, detached_at=None)
            case "gone":
                return queryset.filter(is_owned=True).exclude(detached_at=None)
            case "nobody":
                return queryset.filter(is_owned=False)
        return queryset


@admin.register(Trigger)
class TriggerAdmin(ReadOnlyAdmin):
    """Every trigger, who owns it and how far it has come; the workers change them."""

    list_display = ("trigger_type", "function", "shown_state", "owner", "since", "detached")
    list_display_links = ("trigger_type",)
    list_filter = (StateFilter, OwnerFilter, "trigger_type")
    search_fields = ("trigger_type", "function_id", "trigger_id", "owner_name", "config")
    search_help_text = "Type, function, id, owner, config"
    ordering = ("-registered_at", "pk")
    list_per_page = 50
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["trigger_type", "function_id", "shown_state", "shown_error"]}),
        ("What it says", {"fields": ["shown_config", "shown_metadata"]}),
        ("Whose it is", {"fields": ["owner", "owner_id", "since", "detached"]}),
        ("Names", {"fields": ["trigger_id", "namespace", "trigger_namespace"]}),
    ]
    readonly_fields = (
        "shown_state",
        "shown_error",
        "shown_config",
        "shown_metadata",
        "owner",
        "since",
        "detached",
    )

    @display(description="function", ordering="function_id")  # type: ignore[untyped-decorator]
    def function(self, trigger: Trigger) -> SafeString:
        """Show the function's id as code."""
        return format_html('<code class="iii-id iii-roomy">{}</code>', trigger.function_id)

    @display(  # type: ignore[untyped-decorator]
        description="state",
        ordering="state",
        label={
            "active": "success",
            "pending": "warning",
            "offered": "info",
            "failed": "danger",
            "detached": "",
        },
    )
    def shown_state(self, trigger: Trigger) -> str:
        """Show how far it has come; without its owner that was some time ago."""
        return trigger.state if trigger.detached_at is None else "detached"

    @display(description="owner", ordering="owner_name")  # type: ignore[untyped-decorator]
    def owner(self, trigger: Trigger) -> str:
        """Name the worker that registered it."""
        return trigger.owner_name or trigger.owner_id if trigger.is_owned else "nobody"

    @display(description="since", ordering="registered_at")  # type: ignore[untyped-decorator]
    def since(self, trigger: Trigger) -> SafeString:
        """Say when it was registered or last changed its state."""
        return _instant(trigger.registered_at)

    @display(description="detached", ordering="detached_at")  # type: ignore[untyped-decorator]
    def detached(self, trigger: Trigger) -> SafeString | str:
        """Say when its owner went."""
        return "–" if trigger.detached_at is None else _instant(trigger.detached_at)

    @display(description="config")  # type: ignore[untyped-decorator]
    def shown_config(self, trigger: Trigger) -> SafeString | str:
        """Show its config, indented."""
        return _json(trigger.config)

    @display(description="metadata")  # type: ignore[untyped-decorator]
    def shown_metadata(self, trigger: Trigger) -> SafeString | str:
        """Show its metadata, indented."""
        return _json(trigger.metadata)

    @display(description="reason")  # type: ignore[untyped-decorator]
    def shown_error(self, trigger: Trigger) -> SafeString | str:
        """Show why it was refused."""
        return _json(trigger.error)


def _instant(instant: dt.datetime) -> SafeString:
    return format_html(
        '<span class="iii-nowrap">{}</span>', date_format(instant, "DATETIME_FORMAT")
    )


def _json(text: str) -> SafeString | str:
    return format_html('<pre class="iii-json">{}</pre>', readable_json(text)) if text else "–"
