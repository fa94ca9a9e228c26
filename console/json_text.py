"""JSON as people type it: checked as the engine reads it, with the place of what is wrong."""

from __future__ import annotations

import json
import re

import msgspec

from console.readable import readable_escapes


class NotJson(ValueError):
    """A text is no JSON; the message names line and column."""


def compact_json(text: str) -> bytes:
    """Return JSON without its layout; numbers, key order and escapes stay as they were typed.

    Raises:
        NotJson: it is none.
    """
    data = text.encode(errors="replace")
    try:
        return msgspec.json.format(data, indent=-1)
    except RecursionError as error:
        raise NotJson("It is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise NotJson(_explain(text, data, str(error))) from error


def is_same_json(text: str, compact: bytes) -> bool:
    """Tell whether two JSON texts differ in layout and in what they escape alone.

    Args:
        text: as it is stored.
        compact: what `compact_json` has made of what somebody typed.
    """
    try:
        stored = compact_json(text).decode()
    except NotJson:
        return False
    return readable_escapes(stored) == readable_escapes(compact.decode())


def _explain(text: str, data: bytes, reason: str) -> str:
    """Say what is wrong and where; Python knows the place better than the engine's reader."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return f"Line {error.lineno}, column {error.colno}: {_sentence(error.msg)}"
    except RecursionError:
        return "It is nested too deeply."
    # Python takes more than JSON: NaN, and escapes of half a character.
    found = re.fullmatch(r"JSON is malformed: (.*) \(byte (\d+)\)", reason)
    if found is None:
        return (
            "An escape \\ud800 to \\udfff stands for half a character; the other half is missing."
        )
    before = data[: int(found[2])].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"Line {line}, column {column}: {_sentence(found[1])}"


def _sentence(message: str) -> str:
    return f"{message[0].lower()}{message[1:]}."
