"""Start an ASGI application at once, up to where it first waits, then go on as a task."""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Final

_NOTHING: Final = object()


class FirstStep(Coroutine[Any, Any, None]):
    """A coroutine whose first step has run already; what it yielded is kept for its task."""

    __slots__ = ("_coroutine", "_outcome", "_yielded")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._yielded: Any = _NOTHING
        self._outcome: BaseException | None = None

    def run(self) -> None:
        """Run the first step and keep its result, an exception included, for the task."""
        try:
            self._yielded = self._coroutine.send(None)
        except BaseException as outcome:
            self._outcome = outcome

    def send(self, value: Any, /) -> Any:
        """Go on; the first call hands out what the first step has left."""
        if self._outcome is not None:
            outcome, self._outcome = self._outcome, None
            raise outcome
        if self._yielded is not _NOTHING:
            yielded, self._yielded = self._yielded, _NOTHING
            return yielded
        return self._coroutine.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        """Raise within the coroutine, where its first step has stopped."""
        if self._outcome is not None:
            outcome, self._outcome = self._outcome, None
            raise outcome
        self._yielded = _NOTHING
        error = typ if isinstance(typ, BaseException) else val
        return self._coroutine.throw(error if isinstance(error, BaseException) else typ())  # type: ignore[operator]

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, None, None]:
        raise TypeError("a started coroutine belongs to its task")


def start_now(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Return the task of `coroutine`, whose first step has run when this returns.

    `asyncio.current_task()` and context variables are the task's own in that step already.
    (Tasks can start eagerly by themselves from Python 3.12 on.)
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    first = FirstStep(coroutine)
    task: asyncio.Task[None] = loop.create_task(first, context=context)
    current = asyncio.current_task(loop)
    if current is not None:
        _leave_task(loop, current)
    _enter_task(loop, task)
    try:
        context.run(first.run)
    finally:
        _leave_task(loop, task)
        if current is not None:
            _enter_task(loop, current)
    return task
