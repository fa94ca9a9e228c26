"""The base of admins that show rows which the engine alone writes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    """Shows rows, and takes no change of them from anybody.

    Django's views for changes begin with a transaction. On SQLite that would take the write
    lock, for which the engine's one writer would wait: so they are refused before they begin.
    """

    actions: ClassVar[Any] = None
    change_form_template = "console/read_only/form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: the engine adds rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: the engine changes rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: the engine deletes rows."""
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show one row."""
        _insist_on_reading(request)
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse."""
        raise PermissionDenied

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the rows."""
        _insist_on_reading(request)
        response: HttpResponse = super().changelist_view(request, *args, **kwargs)
        return response


def _insist_on_reading(request: HttpRequest) -> None:
    if request.method not in ("GET", "HEAD"):
        raise PermissionDenied
