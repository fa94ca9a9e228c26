"""Paths of routes: what a pattern says, and what is refused.

A segment is a literal, `:name` or `{name}`. Literals are compared percent-decoded on both sides,
so that a pattern with a space or an umlaut matches the URL that every client makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from engine.core.errors import TriggerRegistrationFailed

# Deeper paths than anybody writes: a limit for the recursion of the search.
MAX_SEGMENTS: Final = 128


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path as its owner wrote it, taken apart.

    Attributes:
        text: exactly as registered.
        segments: decoded literals; None stands for a parameter. Patterns of equal segments have
            the same shape: they are one route with several owners.
        names: of the parameters, from left to right; a name may repeat.
    """

    text: str
    segments: tuple[str | None, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Take a pattern apart; one leading slash is optional, all others count.

        Raises:
            TriggerRegistrationFailed: a segment means nothing; the message names it.
        """
        segments: list[str | None] = []
        names: list[str] = []
        for segment in text.removeprefix("/").split("/"):
            name = _parameter_name(segment, text)
            segments.append(decode_segment(segment) if name is None else None)
            if name is not None:
                names.append(name)
        if len(segments) > MAX_SEGMENTS:
            raise TriggerRegistrationFailed(
                f"api_path has {len(segments)} segments, more than {MAX_SEGMENTS}"
            )
        return cls(text, tuple(segments), tuple(names))


def decode_segment(segment: str) -> str:
    """Percent-decode a segment for comparing; different bytes stay different."""
    return unquote(segment, errors="surrogateescape") if "%" in segment else segment


def _parameter_name(segment: str, pattern: str) -> str | None:
    if segment.startswith(("*", "{*")):
        raise _refused(segment, pattern, "there are no wildcards; a parameter is written ':name'")
    if segment.startswith(":"):
        name = segment[1:]
    elif segment.startswith("{") and segment.endswith("}"):
        name = segment[1:-1]
    else:
        return None
    if not name:
        raise _refused(segment, pattern, "a parameter needs a name, as in ':name'")
    return name


def _refused(segment: str, pattern: str, reason: str) -> TriggerRegistrationFailed:
    return TriggerRegistrationFailed(f"api_path {pattern!r}: bad segment {segment!r}: {reason}")
