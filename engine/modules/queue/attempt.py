"""One attempt of a delivery: its condition first, then its handler."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import msgspec

from engine.core.condition_gate import blocks
from engine.core.invocations import Reply
from engine.core.outgoing import ERROR, RESULT
from engine.core.protocol import encode_error
from engine.modules.queue.adapters.base import Delivery

logger = logging.getLogger(__name__)


class Target(Protocol):
    """How a delivery is made.

    Attributes:
        ask: calls the condition function with a delivery; None if there is none.
    """

    ask: Callable[[Delivery, Reply], None] | None

    def call(self, delivery: Delivery, reply: Reply) -> None:
        """Call the handler; `reply` takes the outcome, perhaps before this returns."""


class OutcomeTaker(Protocol):
    """Whoever makes attempts."""

    def is_executing(self, attempt: Attempt) -> bool:
        """Tell whether an attempt still counts: it has neither ended nor timed out."""

    def settle(self, attempt: Attempt, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Take the outcome of an attempt; one that comes too late is ignored."""


class Attempt:
    """A delivery that is executing; its methods are the replies of what it calls."""

    __slots__ = ("_taker", "delivery", "started", "target")

    def __init__(self, taker: OutcomeTaker, delivery: Delivery, target: Target) -> None:
        self._taker = taker
        self.delivery = delivery
        self.target = target
        self.started = monotonic()

    def begin(self) -> None:
        """Ask the condition if there is one, else call the handler."""
        ask = self.target.ask
        try:
            if ask is None:
                self.target.call(self.delivery, self.on_reply)
            else:
                ask(self.delivery, self.on_condition)
        except Exception as error:  # one delivery that cannot be made must not end the others
            logger.exception("a delivery could not be made")
            self.on_reply(
                ERROR, encode_error("delivery_failed", f"{type(error).__name__}: {error}")
            )

    def on_condition(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Call the handler unless the condition has failed or said `false`: that is success."""
        if kind is RESULT and not blocks(bytes(value)):
            if self._taker.is_executing(self):
                self.target.call(self.delivery, self.on_reply)
        else:
            self._taker.settle(self, kind, value)

    def on_reply(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Take the handler's outcome."""
        self._taker.settle(self, kind, value)
