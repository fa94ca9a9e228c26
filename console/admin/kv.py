"""The entries of the KV server, by index and key."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from console.admin.entries import EntryAdmin
from console.admin.entry_table import AnyEntry
from console.entry_calls import EntryCalls
from kv.models import KvEntry
from kv.server import KvServer


@admin.register(KvEntry)
class KvEntryAdmin(EntryAdmin):
    """KV entries."""

    calls = EntryCalls("kv_server", "index", KvServer)
    search_help_text = "Index, key, text of the value"

    @display(description="index")  # type: ignore[untyped-decorator]
    def shown_group(self, entry: AnyEntry) -> SafeString:
        """Show the index in short."""
        return self.short_group(entry)
