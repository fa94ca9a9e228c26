"""The engine as its users install it: the wheel, with its hot path compiled.

Everything that is started as a process of its own, by an acceptance test or by the bench, is this.
What tests import themselves are the sources of the checkout.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[1]
INSTALLED: Final = PROJECT / "build" / "engine"

ENVIRONMENT: Final = {"PYTHONPATH": str(INSTALLED)}
"""What makes Python find it before anything else that is installed."""


def iii(*arguments: str) -> list[str]:
    """Return a command of the program `iii`; it needs ENVIRONMENT.

    Raises:
        FileNotFoundError: it has not been built; the message says how.
    """
    program = INSTALLED / "bin" / "iii"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing: `make compiled` builds it")
    return [sys.executable, str(program), *arguments]
