"""The door from Django's command line to the program `iii`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def become_iii(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `iii`.

    Django has read its settings by now, for whatever data directory the environment named. The
    engine chooses the directory first, from the same command line as everything else.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "iiiproject.cli", *arguments])
