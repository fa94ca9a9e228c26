"""Waiting for a condition with a limit, for tests of things that happen elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_STEP_S: Final = 0.02


def wait_until_still(value: Callable[[], T], what: str, looks: int = 25) -> T:
    """Return `value` once so many looks in a row, 20 ms apart, have found the same."""
    seen: list[T] = []

    def is_still() -> bool:
        seen.append(value())
        return len(seen) >= looks and all(each == seen[-1] for each in seen[-looks:])

    wait_until(is_still, f"{what} stands still")
    return seen[-1]


def wait_until(condition: Callable[[], T], what: str, limit_s: float = 10) -> T:
    """Return the first truthy value of `condition`.

    Raises:
        AssertionError: it was not truthy within `limit_s`; names `what` and the last value.
    """
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what} (last seen: {value!r})")
        time.sleep(_STEP_S)
    return value
