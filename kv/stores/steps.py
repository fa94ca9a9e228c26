"""Much work in small transactions, so that what else is to be written comes in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from engine.core.deferred import Deferred
from kv.stores.connection import StoreConnection
from kv.stores.executor import Executor

T = TypeVar("T")

Step: TypeAlias = Callable[[StoreConnection], bool]
"""Does a part in a transaction of its own; tells whether there is more to do."""


def in_steps(
    writer: Executor,
    steps: Iterable[Step],
    finish: Callable[[], T],
    outcome: Deferred[T] | None = None,
) -> Deferred[T]:
    """Run steps one after the other, each as often as it says that there is more.

    What was done before a failure stays done.

    Args:
        writer: what runs them.
        steps: at least one.
        finish: makes the outcome when all is done, on the event loop.
        outcome: what is settled; a new one if there is none.
    """
    done: Deferred[T] = Deferred() if outcome is None else outcome
    left = iter(steps)
    step = next(left)

    def stepped(job: Deferred[bool]) -> None:
        nonlocal step
        if job.error is not None:
            done.reject(job.error)
            return
        if not job.value:
            following = next(left, None)
            if following is None:
                done.resolve(finish())
                return
            step = following
        writer.run(step).then(stepped)

    writer.run(step).then(stepped)
    return done
