"""The base of the admins of entries: Django reads the rows, the running engine changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.admin.utils import unquote
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.forms.models import modelform_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from console.admin.entry_forms import AddForm, ChangeForm, EntryForm, address_of
from console.admin.entry_table import ROWS, AnyEntry, EntryTable
from console.engine_calls import WriteFailed
from console.entry_calls import EntryChanged, Place
from console.history import record
from console.json_field import is_editable
from console.json_text import is_same_json
from console.readable import indented_json, readable_json
from kv.clock import now_ms
from kv.entries import NO_VERSION


@dataclass(frozen=True, slots=True)
class Conflict:
    """What is there instead of the version that a form was made for.

    Attributes:
        entry: None if there is nothing any more.
        value: what the user may see of its value.
        expected: the version that the form was made for.
        may_save: whether the user may write over it.
    """

    entry: AnyEntry | None
    value: str
    expected: int
    may_save: bool


class EntryAdmin(EntryTable):
    """Shows entries and hands changes of them to the engine.

    Django's views for changes begin with a transaction. On SQLite that would take the write
    lock, for which the engine's one writer would wait while the view waits for it: so none of
    them is used for writing.
    """

    change_form_template = "console/entries/form.html"
    delete_confirmation_template = "console/entries/delete.html"
    actions = ("delete_selected",)
    warn_unsaved_form = True

    # --- adding and changing ------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form of an entry, or have written what it says."""
        entry = None if object_id is None else self.get_object(request, unquote(object_id))
        if request.method == "POST":
            return self._save(request, entry, is_new=object_id is None)
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            form: EntryForm = self._form_class(AddForm)(initial={"version": NO_VERSION})
            return self._show_form(request, form, None, is_new=True)
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if entry is None:
            return self._gone(request)
        initial = {
            "value": indented_json(entry.value),
            "version": entry.version,
            "address": address_of(self.place(entry)),
        }
        return self._show_form(
            request, self._form_class(ChangeForm)(initial=initial), entry, is_new=False
        )

    def _save(self, request: HttpRequest, entry: AnyEntry | None, *, is_new: bool) -> HttpResponse:
        if not (self.has_add_permission(request) if is_new else self._may_change(request)):
            raise PermissionDenied
        form = self._form_class(AddForm if is_new else ChangeForm)(request.POST)
        conflict = None
        if form.is_valid():
            version: int = form.cleaned_data["version"]
            if not self._may_write(request, version):
                raise PermissionDenied
            if _is_unchanged(entry, version, form.cleaned_data["value"]):
                return self._unchanged(request, entry)
            try:
                return self._write(request, form, version, is_new=is_new)
            except EntryChanged:
                entry = self.find(form.place)
                conflict = self._conflict(request, entry, version)
                now = NO_VERSION if entry is None else entry.version
                form.data = {**request.POST.dict(), "version": now}
            except WriteFailed as error:
                form.add_error(None, error.message)
        return self._show_form(request, form, entry, is_new=is_new, conflict=conflict)

    def _write(
        self, request: HttpRequest, form: EntryForm, version: int, *, is_new: bool
    ) -> HttpResponse:
        place = form.place
        ttl_ms = form.cleaned_data["ttl_ms"] if is_new else self._ttl_left(place)
        new = self.calls.set(place, form.cleaned_data["value"], version, ttl_ms)
        written = self.find(place)
        flag, old = (ADDITION, "none") if version == NO_VERSION else (CHANGE, str(version))
        self._log(request, written, place, flag, f"version {old} → {new}")
        if written is None:  # a worker was faster
            return self._gone(request)
        respond = self.response_add if is_new else self.response_change
        response: HttpResponse = respond(request, written)
        return response

    def _unchanged(self, request: HttpRequest, entry: AnyEntry | None) -> HttpResponse:
        """Write nothing: the text stays as its worker has spelled it, and no trigger fires."""
        self.message_user(request, "Nothing was changed, and nothing was written.", messages.INFO)
        if "_continue" in request.POST:
            return HttpResponseRedirect(request.path)
        response: HttpResponse = self.response_post_save_change(request, entry)
        return response

    def _ttl_left(self, place: Place) -> int | None:
        """Return the time to live that is left; a new value has none unless it is given."""
        entry = self.find(place)
        if entry is None or entry.expires_at is None:
            return None
        return max(1, entry.expires_at - now_ms())

    def _conflict(self, request: HttpRequest, entry: AnyEntry | None, expected: int) -> Conflict:
        version = NO_VERSION if entry is None else entry.version
        value = "" if entry is None else self._visible(request, entry)
        return Conflict(entry, value, expected, self._may_write(request, version))

    def _show_form(
        self,
        request: HttpRequest,
        form: EntryForm,
        entry: AnyEntry | None,
        *,
        is_new: bool,
        conflict: Conflict | None = None,
    ) -> HttpResponse:
        if entry is not None:
            form.instance = entry
        can_save = is_new or (self._may_change(request) and _fits(entry))
        readonly = () if is_new else ("shown_group", "shown_key", "shown_version", "expires")
        value = "value" if can_save else "shown_value"
        names = ("group", "key", value, "ttl_ms") if is_new else (*readonly, value)
        verb = "Add" if is_new else "Change" if can_save else "View"
        admin_form = helpers.AdminForm(
            form,
            [(None, {"fields": list(names)})],
            {},
            readonly if can_save else (*readonly, value),
            model_admin=self,
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb} {self.opts.verbose_name}",
            "subtitle": None if entry is None or is_new else str(entry),
            "adminform": admin_form,
            "object_id": None if entry is None else str(entry.pk),
            "original": None if is_new else entry,
            "is_popup": False,
            "to_field": None,
            "media": self.media + admin_form.media,
            "inline_admin_formsets": [],
            "errors": helpers.AdminErrorList(form, []),
            "preserved_filters": self.get_preserved_filters(request),
            "show_save": can_save,
            "show_save_and_continue": can_save,
            "is_too_large": not is_new and not _fits(entry),
            "obstacle": self.calls.obstacle(),
            "conflict": conflict,
            "list_url": self.list_url(),
        }
        response: HttpResponse = self.render_change_form(
            request, context, add=is_new, change=not is_new, obj=entry
        )
        return response

    def _form_class(self, form: type[EntryForm]) -> type[EntryForm]:
        made = modelform_factory(self.model, form=form, fields=())
        if "group" in made.base_fields:
            made.base_fields["group"].label = self.calls.group.capitalize()
        return made  # type: ignore[return-value]

    # --- deleting -----------------------------------------------------------------------------

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask whether to delete an entry, or have it deleted."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        entry = self.get_object(request, unquote(object_id))
        if entry is None:
            return self._gone(request)
        problem = ""
        if request.method == "POST":
            try:
                self._delete(request, entry, _version(request.POST.get("version")))
            except WriteFailed as error:
                problem = error.message
                entry = self.find(self.place(entry))
                if entry is None:
                    return self._gone(request)
            else:
                response: HttpResponse = self.response_delete(request, str(entry), entry.pk)
                return response
        return self._confirm(request, [entry], problem)

    @admin.action(permissions=["delete"], description="Delete chosen entries")
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[AnyEntry]
    ) -> HttpResponse | None:
        """Ask whether to delete entries, or have those deleted that are as they were shown."""
        entries = list(queryset.defer(None)[:ROWS])
        if "confirmed" not in request.POST:
            return self._confirm(request, entries)
        count = 0
        for entry in entries:
            try:
                self._delete(request, entry, _version(request.POST.get(f"version-{entry.pk}")))
                count += 1
            except WriteFailed as error:
                self.message_user(request, f"{entry}: {error.message}", messages.ERROR)
        if count:
            noun = "entry" if count == 1 else "entries"
            self.message_user(request, f"{count} {noun} deleted.", messages.SUCCESS)
        return None

    def _delete(self, request: HttpRequest, entry: AnyEntry, version: int) -> None:
        place = self.place(entry)
        self.calls.delete(place, version)
        self._log(request, entry, place, DELETION, f"version {version} → none")

    def _confirm(
        self, request: HttpRequest, entries: list[AnyEntry], problem: str = ""
    ) -> HttpResponse:
        is_action = "action" in request.POST
        context = {
            **self.admin_site.each_context(request),
            "title": f"Delete {self.opts.verbose_name if len(entries) == 1 else 'entries'}",
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "entries": [(each, self.place(each), self._visible(request, each)) for each in entries],
            "group": self.calls.group,
            "is_action": is_action,
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
            "problem": problem or self.calls.obstacle(),
            "back_url": self.list_url() if is_action else self.url("change", entries[0].pk),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.delete_confirmation_template, context)

    # --- what they share ----------------------------------------------------------------------

    def _visible(self, request: HttpRequest, entry: AnyEntry) -> str:
        """Return the value for those who may see it: who adds or deletes need not."""
        if not self.has_view_or_change_permission(request):
            return "(you may not see it)"
        return readable_json(entry.value)

    def _may_change(self, request: HttpRequest) -> bool:
        allowed: bool = self.has_change_permission(request)
        return allowed

    def _may_write(self, request: HttpRequest, version: int) -> bool:
        """Tell whether the user may replace a version; where there is none, that is adding."""
        allowed: bool = (
            self.has_add_permission(request)
            if version == NO_VERSION
            else self.has_change_permission(request)
        )
        return allowed

    def _log(
        self, request: HttpRequest, entry: AnyEntry | None, place: Place, flag: int, what: str
    ) -> None:
        """Write the line of the history; what it tells of is done, whether this fails or not."""
        group, key = place
        logged = entry or self.model(**{self.calls.group: group, "key": key})
        line = f"{self.calls.group} “{group}”, key “{key}”: {what}"
        record(request, self.model, logged.pk, str(logged), flag, line)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        self.message_user(request, "This entry is not there any more.", messages.WARNING)
        return HttpResponseRedirect(self.list_url())


def _fits(entry: AnyEntry | None) -> bool:
    return entry is None or is_editable(entry.value)


def _is_unchanged(entry: AnyEntry | None, version: int, value: bytes) -> bool:
    """Tell whether a form gives back what it has shown, and that is still there."""
    return entry is not None and entry.version == version and is_same_json(entry.value, value)


def _version(text: str | None) -> int:
    """Read a version that a page has carried.

    Raises:
        BadRequest: it is none.
    """
    if not (text and text.isascii() and text.isdecimal() and len(text) < 20):
        raise BadRequest("the form names no version")
    return int(text)
