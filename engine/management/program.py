"""The door from Django's command line to the program `iii`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import engine

PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from iiiproject.cli import main; sys.exit(main())"
)
"""The console script, for a checkout that need not be installed."""


def become_iii(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `iii`.

    Django has read its settings by now, for whatever data directory the environment named. The
    engine chooses the directory first, from the same command line as everything else.
    """
    checkout = Path(engine.__file__).parents[1]
    sys.stdout.flush()
    # -P keeps the working directory off the path: people have folders named `engine` there.
    program = [sys.executable, "-P", "-c", PROGRAM, str(checkout), *arguments]
    os.execv(sys.executable, program)
