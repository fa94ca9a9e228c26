"""JSON in forms: the field in which it is typed, and what fits into it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote_plus

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget

from console.json_text import NotJson, compact_json
from console.readable import indented_json

SPARE_BYTES: Final = 64 * 1024
"""Of a form, for everything but the value."""


class JsonField(forms.CharField):
    """A text that is JSON; its cleaned value is the text without its layout, as bytes."""

    def __init__(self) -> None:
        widget = UnfoldAdminTextareaWidget(
            {"class": "iii-editor", "rows": 12, "spellcheck": "false", "autocomplete": "off"}
        )
        super().__init__(strip=False, widget=widget)

    def clean(self, value: Any) -> Any:
        """Check it.

        Raises:
            ValidationError: it is no JSON; the message names line and column.
        """
        try:
            return compact_json(super().clean(value).replace("\r\n", "\n"))
        except NotJson as error:
            raise ValidationError(f"This is not JSON. {error}") from error


def is_editable(value: str) -> bool:
    """Tell whether a value fits into a form that Django accepts."""
    room = settings.DATA_UPLOAD_MAX_MEMORY_SIZE - SPARE_BYTES
    if len(value) > room:
        return False
    return len(quote_plus(indented_json(value).replace("\n", "\r\n"))) <= room
