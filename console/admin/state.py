"""The entries of the state module, by scope and key."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from console.admin.entries import EntryAdmin
from console.admin.entry_table import AnyEntry
from console.entry_calls import EntryCalls
from kv.models import StateEntry
from kv.state import StateModule


@admin.register(StateEntry)
class StateEntryAdmin(EntryAdmin):
    """State entries; the triggers on state hear what is changed here."""

    calls = EntryCalls("state", "scope", StateModule)
    search_help_text = "Scope, key, text of the value"

    @display(description="scope")  # type: ignore[untyped-decorator]
    def shown_group(self, entry: AnyEntry) -> SafeString:
        """Show the scope in short."""
        return self.short_group(entry)
