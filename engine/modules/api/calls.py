"""Calls of functions within a time limit, and the limit on how many requests run at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

from engine.core.errors import InvocationFailed
from engine.modules.api.errors import HttpError

T = TypeVar("T")

# Deadlines are met this late at most; without it a burst of them would each wake the loop.
RESOLUTION_S: Final = 0.001


class CallTimedOut(Exception):
    """What was waited for did not come in time; it has been cancelled."""


class Cancellable(Protocol):
    """What can be ended from outside: a future, a task, the call of a handler."""

    def cancel(self) -> object:
        """End it."""


class Deadlines:
    """One time limit for many calls at the cost of one timer.

    All may take equally long, so they expire in the order in which they came: the timer runs to
    the oldest one's end, and a call that ends in time costs two dict operations. (A timer for
    each, or `asyncio.timeout`, costs several times as much.)
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._ends: dict[Cancellable, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, call: Cancellable) -> None:
        """Cancel a call unless `is_met` is asked in time."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._ends[call] = loop.time() + self.timeout_s
        if self._timer is None:
            self._timer = loop.call_later(self.timeout_s, self._expire, loop)

    def is_met(self, call: Cancellable) -> bool:
        """Say that a call has ended; return False if it had been cancelled before."""
        return self._ends.pop(call, None) is not None

    def renew(self, call: Cancellable) -> None:
        """Give a watched call the whole time once more."""
        if self.is_met(call):
            self.watch(call)

    async def wait(self, future: asyncio.Future[T]) -> T:
        """Wait for a future, but not too long.

        Raises:
            CallTimedOut: it took too long; the future is cancelled.
            InvocationFailed: somebody else cancelled it: what it waited for is gone.
        """
        if future.done():
            return future.result()
        self.watch(future)
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            if future not in self._ends:
                raise CallTimedOut from None
            raise InvocationFailed("invocation_stopped", "Invocation stopped") from None
        finally:
            self._ends.pop(future, None)

    async def step(self, awaitable: Awaitable[T]) -> T:
        """Wait for something that is no future, such as a server's `receive`.

        Raises:
            CallTimedOut: it took too long and was cancelled.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self.watch(task)
        try:
            return await awaitable
        except asyncio.CancelledError:
            if task in self._ends or task.uncancel():
                raise
            raise CallTimedOut from None
        finally:
            self._ends.pop(task, None)

    def close(self) -> None:
        """Forget the timer; what still waits is not limited any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        expired: list[Cancellable] = []
        self._timer = None
        for call, end in self._ends.items():
            if end > now:
                self._timer = loop.call_later(max(end - now, RESOLUTION_S), self._expire, loop)
                break
            expired.append(call)
        for call in expired:
            del self._ends[call]
            call.cancel()


class Slots:
    """How many requests may be in handlers at once; the others wait in the order they came."""

    def __init__(self, limit: int, deadlines: Deadlines) -> None:
        self._free = limit
        self._deadlines = deadlines
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait for a slot and take it.

        Raises:
            HttpError: 503, none became free in time.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await self._deadlines.wait(turn)
        except CallTimedOut:
            limit_s = self._deadlines.timeout_s
            raise HttpError(
                503, "overloaded", f"too many requests are running; waited {limit_s:g} s"
            ) from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise
        finally:
            self._waiting.pop(turn, None)

    def release(self) -> None:
        """Give a slot to whoever has waited longest, or back."""
        while self._waiting:
            turn, _ = self._waiting.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
