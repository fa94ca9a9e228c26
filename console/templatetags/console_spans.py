"""Spans of time for people."""

from __future__ import annotations

from typing import Final

from django import template

register = template.Library()

_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


@register.filter
def span(milliseconds: int | None) -> str:
    """Say a span in its largest whole unit; a dash for None."""
    if milliseconds is None:
        return "–"
    for length, unit in _UNITS:
        if milliseconds >= length:
            return f"{milliseconds // length} {unit}"
    return f"{milliseconds} ms"
