"""Waiting for a condition with a limit, for tests of things that happen elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

LIMIT_S: Final = 10.0

_STEP_S: Final = 0.02
_LOOP_STEP_S: Final = 0.005


def wait_until_still(value: Callable[[], T], what: str, looks: int = 25) -> T:
    """Return `value` once so many looks in a row, 20 ms apart, have found the same."""
    seen: list[T] = []

    def is_still() -> bool:
        seen.append(value())
        return len(seen) >= looks and all(each == seen[-1] for each in seen[-looks:])

    wait_until(is_still, f"{what} stands still")
    return seen[-1]


def wait_until(condition: Callable[[], T], what: str, limit_s: float = LIMIT_S) -> T:
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


async def eventually(
    condition: Callable[[], Awaitable[bool]], wanted: Callable[[], str] = lambda: "it"
) -> None:
    """Wait on an event loop until a condition holds.

    Raises:
        AssertionError: it did not within `LIMIT_S`; says what was wanted.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await condition():
                await asyncio.sleep(_LOOP_STEP_S)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {wanted()}") from None
