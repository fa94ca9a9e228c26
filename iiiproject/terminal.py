"""Colours for people who sit at a terminal; plain text for everything else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"
DIM: Final = "2"

SHOWN_EVERY_S: Final = 0.1
"""How often a line of progress changes: often enough to be seen to move."""


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


class Progress:
    """One line on a terminal that says how far a long work is; nothing anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._shown_at = 0.0

    def show(self, text: str) -> None:
        """Replace the line, unless it was replaced a moment ago."""
        now = time.monotonic()
        if self._stream is not None and now - self._shown_at > SHOWN_EVERY_S:
            self._shown_at = now
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()

    def clear(self) -> None:
        """Leave an empty line to what is printed next."""
        if self._stream is not None and self._shown_at:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def size_text(size: int) -> str:
    """Say a number of bytes for people."""
    if size < 2**20:
        return f"{size / 2**10:.1f} KiB"
    return f"{size / 2**20:,.1f} MiB"
