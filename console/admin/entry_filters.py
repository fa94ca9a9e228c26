"""How lists of entries are narrowed without counting all rows."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

MAX_GROUPS: Final = 50
"""A list of choices holds no more; others are found by the search."""


class GroupFilter(admin.SimpleListFilter):
    """The entries of one scope or index."""

    title = "group"
    parameter_name = "group"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.title = self.parameter_name = self._group = model_admin.calls.group
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the first groups, and the chosen one."""
        groups = first_groups(model_admin.model._default_manager.all(), self._group)
        chosen = self.value()
        if chosen is not None and chosen not in groups:
            groups.insert(0, chosen)
        return [(group, group) for group in groups]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the rows."""
        group = self.value()
        return queryset if group is None else queryset.filter(**{self._group: group})


class ExpiryFilter(admin.SimpleListFilter):
    """Whether entries go by themselves."""

    title = "expiry"
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("expires", "Expires"), ("never", "Never")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the rows."""
        if self.value() not in ("expires", "never"):
            return queryset
        return queryset.filter(expires_at__isnull=self.value() == "never")


def first_groups(rows: QuerySet[Any], group: str) -> list[str]:
    """Return the first groups in order.

    Each is one step down the unique index; `DISTINCT` would read all of it.
    """
    names = rows.order_by(group).values_list(group, flat=True)
    found: list[str] = []
    name = names.first()
    while name is not None and len(found) < MAX_GROUPS:
        found.append(name)
        name = names.filter(**{f"{group}__gt": name}).first()
    return found
