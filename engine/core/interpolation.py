"""`${NAME:default}` in the text of a config file, replaced before YAML reads it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import yaml

import engine as package

PLACEHOLDER: Final = re.compile(r"\$\{([^{}:\n]+)(?::([^}\n]*))?\}")
"""A name, and after the first colon a default up to the brace; both on one line."""

VERSION_DEFAULT: Final = "__III_ENGINE_VERSION__"
"""The default that stands for the version of the engine."""


@dataclass(frozen=True, slots=True)
class BadPlaceholder:
    """A placeholder that cannot be replaced: where it stands in the original text, and why."""

    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class InterpolatedText:
    """A text after replacement that still knows where everything stood before.

    Attributes:
        original: the text as it was written.
        text: the text with values.
        bad: what could not be replaced; such placeholders stay in the text.
    """

    original: str
    text: str
    bad: tuple[BadPlaceholder, ...]
    _starts: tuple[int, ...]
    _shifts: tuple[int, ...]

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Return where in the original an offset of `text` lies; both count from 1."""
        piece = bisect.bisect_right(self._starts, offset) - 1
        following = self._starts[piece + 1] if piece + 1 < len(self._starts) else None
        place = offset + self._shifts[piece]
        if following is not None:
            # Inside a value that is longer than its placeholder: the placeholder's own end.
            place = min(place, following + self._shifts[piece + 1])
        return line_and_column(self.original, place)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column of an offset; both count from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def interpolate(text: str, environment: Mapping[str, str]) -> InterpolatedText:
    """Replace every placeholder outside YAML comments.

    `${NAME}` becomes the value of NAME; `${NAME:default}` becomes the default where NAME is not
    set. A variable that is set but empty counts as set. Placeholders do not nest.
    """
    masked = PLACEHOLDER.sub(lambda match: "x" * len(match[0]), text)
    content = _content_ranges(masked)
    pieces: list[str] = []
    bad: list[BadPlaceholder] = []
    starts, shifts = [0], [0]
    copied = length = 0
    for match in PLACEHOLDER.finditer(text):
        if not _is_inside(match.start(), content):
            continue
        value = _value(match, environment)
        if isinstance(value, BadPlaceholder):
            bad.append(value)
            continue
        pieces += (text[copied : match.start()], value)
        length += match.start() - copied
        starts.append(length)
        shifts.append(match.start() - length)
        length += len(value)
        starts.append(length)
        shifts.append(match.end() - length)
        copied = match.end()
    pieces.append(text[copied:])
    return InterpolatedText(text, "".join(pieces), tuple(bad), tuple(starts), tuple(shifts))


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str | BadPlaceholder:
    name, default = match[1].strip(), match[2]
    if name in environment:
        return environment[name]
    if default is None:
        return BadPlaceholder(
            match.start(),
            f"the environment variable {name} is not set and has no default: "
            f"set it, or write ${{{name}:default}}",
        )
    if "${" in default:
        return BadPlaceholder(match.start(), "placeholders cannot be nested")
    return package.__version__ if default == VERSION_DEFAULT else default


def _content_ranges(masked: str) -> list[tuple[int, int]]:
    """Return the parts of a YAML text that are not comments, as YAML's own scanner sees them.

    The text must be masked: a placeholder may hold what YAML takes for syntax. Where the scanner
    gives up, the rest of the text goes by its lines: a comment is a line that starts with `#`.
    """
    ranges: list[tuple[int, int]] = []
    end = 0
    try:
        for token in yaml.scan(masked, Loader=yaml.SafeLoader):
            start, end = token.start_mark.index, token.end_mark.index
            if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
                start = masked.find("\n", start)  # the head of a block may end in a comment
            if end > start >= 0:
                ranges.append((start, end))
    except yaml.YAMLError:
        for line in re.finditer(r"^[ \t]*[^#\s].*$", masked[end:], re.MULTILINE):
            ranges.append((end + line.start(), end + line.end()))
    return ranges


def _is_inside(offset: int, ranges: list[tuple[int, int]]) -> bool:
    index = bisect.bisect_right(ranges, offset, key=lambda pair: pair[0]) - 1
    return index >= 0 and offset < ranges[index][1]
