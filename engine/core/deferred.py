"""An outcome that comes later, for what is too frequent to make a future for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from mypy_extensions import mypyc_attr

T = TypeVar("T")


@mypyc_attr(allow_interpreted_subclasses=True)
class Deferred(Generic[T]):
    """The outcome of something that was begun: a value or an exception, later.

    A future costs a handle and a turn of the loop for its callback; this one calls it back at
    once, by whoever settles it. It has one callback, belongs to one event loop, cannot be
    cancelled, and may be awaited instead.

    Attributes:
        error: why there is no value.
        is_done: whether it is settled.
    """

    __slots__ = ("_callback", "_value", "error", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self.error: Exception | None = None
        self._value: T | None = None
        self._callback: Callable[[Deferred[T]], None] | None = None

    @property
    def value(self) -> T:
        """The value.

        Raises:
            Exception: the one that it was settled with.
        """
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    def resolve(self, value: T) -> None:
        """Settle it with a value."""
        self._value = value
        self.is_done = True
        if self._callback is not None:
            self._callback(self)

    def reject(self, error: Exception) -> None:
        """Settle it with an exception."""
        self.error = error
        self.is_done = True
        if self._callback is not None:
            self._callback(self)

    def then(self, callback: Callable[[Deferred[T]], None]) -> None:
        """Call back when it is settled, or now if it is; the callback must not raise."""
        if self.is_done:
            callback(self)
        else:
            self._callback = callback

    def __await__(self) -> Generator[Any, None, T]:
        """Wait as for a future."""
        if not self.is_done:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(lambda _: None if future.done() else future.set_result(None))
            yield from future
        return self.value
