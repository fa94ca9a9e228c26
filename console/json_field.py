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
    """A text that is JSON; its cleaned value is the text without its layout, as bytes.

    Args:
        required: whether there has to be one; else `b""` is what is empty or null.
        help_text: what stands below.
        is_short: whether it is one of many fields, and takes little room while it is empty.
    """

    def __init__(
        self, *, required: bool = True, help_text: str = "", is_short: bool = False
    ) -> None:
        editor = "iii-editor iii-editor-short" if is_short else "iii-editor"
        widget = UnfoldAdminTextareaWidget(
            {"class": editor, "rows": 12, "spellcheck": "false", "autocomplete": "off"}
        )
        super().__init__(required=required, help_text=help_text, strip=False, widget=widget)

    def clean(self, value: Any) -> Any:
        """Check it.

        Raises:
            ValidationError: it is no JSON; the message names line and column.
        """
        if not self.required and not (value or "").strip():
            return b""
        try:
            text = compact_json(super().clean(value).replace("\r\n", "\n"))
        except NotJson as error:
            raise ValidationError(f"This is not JSON. {error}") from error
        return text if self.required or text != b"null" else b""


def is_editable(value: str) -> bool:
    """Tell whether a value fits into a form that Django accepts."""
    room = settings.DATA_UPLOAD_MAX_MEMORY_SIZE - SPARE_BYTES
    if len(value) > room:
        return False
    return len(quote_plus(indented_json(value).replace("\n", "\r\n"))) <= room
