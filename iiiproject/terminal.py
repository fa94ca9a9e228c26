"""Colours for people who sit at a terminal; plain text for everything else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"
DIM: Final = "2"


def has_colours(stream: TextIO) -> bool:
    """Tell whether a stream shows colours: a terminal, unless NO_COLOR or TERM says no."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """Put a text in a style where the stream shows it."""
    return f"\x1b[{style}m{text}\x1b[0m" if has_colours(stream) else text


def table(rows: Iterable[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Lay out rows in columns, the last one ragged."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        lines.append((indent + "   ".join([*cells, row[-1]])).rstrip())
    return lines
