"""JSON for people: indented, cut when it is long, its escapes read where that is safe."""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_CHARACTERS: Final = 64 * 1024
"""A page shows no more of one value: browsers grow slow on megabytes of text."""

LONGEST_ESCAPE: Final = len("\\ud83d\\ude00")
"""What one character takes at most in JSON text."""

# Whatever follows a backslash belongs to it: the second one of `\\u00fc` begins no escape.
_ESCAPE: Final = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|.)",
    re.DOTALL,
)


def readable_escapes(text: str) -> str:
    r"""Put the characters of JSON text in the place of their escapes `\u…`; it means the same.

    Some SDKs escape all that is not ASCII. What cannot be seen (control characters, line
    separators, marks that turn the direction of writing) stays an escape, and so do quotes and
    backslashes, halves of characters and whatever is cut off at the end.
    """
    return text if "\\u" not in text else _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    high, low, single = escape.groups()
    if high is not None:
        code = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
    elif single is not None:
        code = int(single, 16)
    else:
        return escape[0]
    character = chr(code)
    return character if character.isprintable() and character not in '"\\' else escape[0]


def indented_json(text: str | bytes | msgspec.Raw) -> str:
    """Indent JSON text and read its escapes; numbers and key order stay as they were sent.

    What is no JSON is returned as it is.
    """
    indented, is_json = _indent(text)
    return readable_escapes(indented) if is_json else indented


def readable_json(text: str | bytes | msgspec.Raw) -> str:
    """Indent JSON text for a page, and cut it if it is long, see `indented_json`."""
    indented, is_json = _indent(text)
    # Cut first: reading the escapes of megabytes takes seconds.
    shown, rest = indented[:MAX_CHARACTERS], len(indented) - MAX_CHARACTERS
    if is_json:
        shown = readable_escapes(shown)
    return shown if rest <= 0 else f"{shown}\n… and {rest:,} more characters"


def _indent(text: str | bytes | msgspec.Raw) -> tuple[str, bool]:
    """Return the text, indented if it is JSON, and whether it is."""
    data = text.encode(errors="replace") if isinstance(text, str) else bytes(text)
    try:
        return msgspec.json.format(data, indent=2).decode(errors="replace"), True
    except (msgspec.DecodeError, RecursionError):
        return data.decode(errors="replace"), False
