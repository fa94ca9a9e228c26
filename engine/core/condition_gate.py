"""Calls the function of a trigger, past its condition if it has one, in the order of the events."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.invocations import Reply, invocation_failed
from engine.core.log_limit import LogLimit
from engine.core.outgoing import RESULT
from engine.core.protocol import NULL
from engine.core.triggers import Trigger

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
"""How many events of one place may wait for a condition; the oldest are dropped."""

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""How large all events may be together that wait for one condition; likewise."""

COMPLAINT_INTERVAL_S: Final = 1.0
"""At most one log line a second about one trigger: what fails may fail for every event."""


def blocks(answer: bytes | None) -> bool:
    """Tell whether a condition's answer keeps the handler from being called: only `false` does."""
    return (answer or NULL).strip() == b"false"


class ConditionGate:
    """One trigger on events; nobody waits for what it calls.

    Events of one place reach the handler in their order: while the condition is being asked about
    one of them, the others wait.

    Args:
        engine: calls condition and handler.
        trigger: whose function is called.
        condition_id: the function that is asked first, with the same payload, as a trigger of the
            same owner; only `false` and an error block. None if there is none.
    """

    __slots__ = (
        "_complaints",
        "_condition",
        "_engine",
        "_held_bytes",
        "_reply",
        "_trigger",
        "_waiting",
    )

    def __init__(self, engine: Engine, trigger: Trigger, condition_id: str | None) -> None:
        self._engine = engine
        self._trigger = trigger
        self._condition = (
            replace(trigger, function_id=condition_id, metadata=None) if condition_id else None
        )
        self._waiting: dict[Hashable, deque[bytes]] = {}
        self._held_bytes = 0
        self._reply: Reply = self._report  # bound once, not for each event
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    def fire(self, place: Hashable, payload: bytes) -> None:
        """Call the handler, once the condition allows it.

        Args:
            place: what has changed, or the topic.
            payload: JSON text.
        """
        if self._condition is None:
            self._call(payload)
            return
        self._held_bytes += len(payload)
        waiting = self._waiting.get(place)
        if waiting is None:
            self._waiting[place] = deque([payload])
            self._ask(self._condition, place)
            return
        waiting.append(payload)
        while len(waiting) > 1 and (
            len(waiting) > MAX_WAITING or self._held_bytes > MAX_WAITING_BYTES
        ):
            self._held_bytes -= len(waiting[1])
            del waiting[1]  # the first is being asked for
            self._complain("a condition does not keep up, an event is dropped")

    def close(self) -> None:
        """Drop what waits for the condition: the trigger has gone."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._held_bytes = 0

    def _ask(self, condition: Trigger, place: Hashable) -> None:
        """Ask about the first payload that waits."""
        payload = self._waiting[place][0]

        def decide(done: asyncio.Future[bytes | None]) -> None:
            waiting = self._waiting[place]
            if waiting:  # else the trigger has gone meanwhile
                waiting.popleft()
                self._held_bytes -= len(payload)
                if self._is_open(done):
                    self._call(payload)  # which may end the trigger, or fire it again
            if waiting:
                self._ask(condition, place)
            else:
                del self._waiting[place]

        self._engine.fire(condition, payload).add_done_callback(decide)

    def _is_open(self, done: asyncio.Future[bytes | None]) -> bool:
        if done.cancelled():
            return False
        error = done.exception()
        if error is not None:
            self._complain(f"condition failed, its handler is not called: {error}")
            return False
        return not blocks(done.result())

    def _call(self, payload: bytes) -> None:
        self._engine.fire_and_reply(self._trigger, payload, self._reply, None, None)

    def _report(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        if kind is not RESULT:
            self._complain(f"handler failed: {invocation_failed(bytes(value))}")

    def _complain(self, problem: str) -> None:
        trigger = self._trigger
        extra = {"function_id": trigger.function_id, "trigger_id": trigger.id}
        self._complaints.warning(f"{trigger.trigger_type} trigger: {problem}", extra)
