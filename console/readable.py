"""JSON for people: indented, cut when it is long, spelled as it was sent."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

MAX_CHARACTERS: Final = 64 * 1024
"""A page shows no more of one value: browsers grow slow on megabytes of text."""


def indented_json(text: str | bytes | msgspec.Raw) -> str:
    """Indent JSON text; numbers, key order and escapes stay as they were sent.

    What is no JSON is returned as it is.
    """
    data = text.encode(errors="replace") if isinstance(text, str) else bytes(text)
    with suppress(msgspec.DecodeError, RecursionError):
        data = msgspec.json.format(data, indent=2)
    return data.decode(errors="replace")


def readable_json(text: str | bytes | msgspec.Raw) -> str:
    """Indent JSON text for a page, and cut it if it is long, see `indented_json`."""
    shown = indented_json(text)
    if len(shown) <= MAX_CHARACTERS:
        return shown
    return f"{shown[:MAX_CHARACTERS]}\n… and {len(shown) - MAX_CHARACTERS:,} more characters"
