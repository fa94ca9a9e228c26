"""Spans of time for people."""

from __future__ import annotations

from typing import Final

from django import template

register = template.Library()

SHOWN_MS: Final = 10_000
SHOWN_S: Final = 600_000
"""Below these, milliseconds and seconds are the unit of a duration."""

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


@register.filter
def duration(milliseconds: int | None) -> str:
    """Say how long something took, to about three digits; a dash for None."""
    if milliseconds is None:
        return "–"
    if milliseconds < SHOWN_MS:
        return f"{milliseconds} ms"
    if milliseconds < SHOWN_S:
        return f"{milliseconds / 1_000:.1f} s"
    return f"{milliseconds / 60_000:.1f} min"
