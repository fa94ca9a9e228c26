"""One run: a tick whose time has come, its condition first, then its function."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Final, Protocol

import msgspec

from engine.core.condition_gate import blocks
from engine.core.invocations import CHANNEL_FULL, STOPPED
from engine.core.outgoing import ERROR, RESULT
from engine.core.protocol import decode_error, encode_error
from engine.modules.cron.payload import run_payload
from engine.modules.cron.records import ERROR_LIMIT, ClaimedTick, TickState
from engine.modules.cron.target import Target
from kv.clock import now_ms

logger = logging.getLogger(__name__)

TIMEOUT: Final = "timeout"


class RunTaker(Protocol):
    """Whoever begins runs."""

    def ended(self, run: Run, state: TickState, reason: str, error: str) -> None:
        """Take what became of a run; told once."""

    def stopped(self, run: Run) -> None:
        """Learn that its worker has gone before it answered; told instead of `ended`."""

    def refused(self, run: Run) -> None:
        """Learn that its worker has not got the call, as it does not keep up; likewise."""


class Run:
    """A tick on its way; its methods are the replies of what it calls.

    It is made when the tick is claimed, so that little is left to be done at its time.

    Attributes:
        tick: what is due.
        began_at: when it began, Unix milliseconds: its condition, if it has one.
        started_at: when the function was called; None if it has not been.
        job_id: whose job it is; empty until it begins.
        trace_id: of its calls, 32 hexadecimal digits.
    """

    __slots__ = (
        "_is_over",
        "_payload",
        "_taker",
        "_target",
        "_timer",
        "_traceparent",
        "began_at",
        "job_id",
        "started_at",
        "tick",
        "trace_id",
    )

    def __init__(self, taker: RunTaker, tick: ClaimedTick) -> None:
        self.tick = tick
        self.began_at = 0
        self.started_at: int | None = None
        self.job_id = ""
        self.trace_id = f"{random.getrandbits(128):032x}"
        self._taker = taker
        self._target: Target | None = None
        self._traceparent = f"00-{self.trace_id}-{random.getrandbits(64) or 1:016x}-01"
        self._payload = b""
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def begin(self, target: Target, timeout_ms: int) -> None:
        """Ask the condition if there is one, else call the function.

        Args:
            target: how they are called.
            timeout_ms: after which both together have failed; 0 for never.
        """
        tick = self.tick
        now_ns = time.time_ns()
        self.began_at = now_ns // 1_000_000
        self.job_id = target.job_id
        self._target = target
        self._payload = (
            tick.payload
            or tick.schedule.settings.payload
            or run_payload(target.head, tick.scheduled_at, now_ns, is_manual=tick.is_manual)
        )
        if timeout_ms:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(timeout_ms / 1_000, self._on_timeout, timeout_ms)
        try:
            if target.has_condition:
                target.ask(self._payload, self.on_condition, self._traceparent)
            else:
                self._call(target, self.began_at)
        except Exception as error:  # one run that cannot be made must not end the others
            logger.exception("a run could not be made")
            self.on_reply(ERROR, encode_error("run_failed", f"{type(error).__name__}: {error}"))

    def on_condition(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Call the function unless the condition has failed or said `false`."""
        if self._is_over:
            return
        if kind is not RESULT:
            if not self._is_refusal(bytes(value)):
                self._end(TickState.SKIPPED, "condition_failed", error_text(bytes(value)))
        elif blocks(bytes(value)):
            self._end(TickState.SKIPPED, "condition", "")
        else:
            assert self._target is not None
            self._call(self._target, now_ms())

    def on_reply(self, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Take the function's outcome, unless it comes too late."""
        if self._is_over:
            return
        if kind is RESULT:
            self._end(TickState.DONE, "", "")
        elif bytes(value) == STOPPED:
            self._close()
            self._taker.stopped(self)
        elif not self._is_refusal(bytes(value)):
            self._end(TickState.FAILED, "", error_text(bytes(value)))

    def _is_refusal(self, error: bytes) -> bool:
        """Give the tick back to the taker if nothing was called."""
        if decode_error(error).code != CHANNEL_FULL:
            return False
        self._close()
        self._taker.refused(self)
        return True

    def _call(self, target: Target, now: int) -> None:
        self.started_at = now
        target.call(self._payload, self.on_reply, self._traceparent)

    def _on_timeout(self, timeout_ms: int) -> None:
        error = f"{TIMEOUT}: no result within {timeout_ms} ms; a later one is dropped"
        if self.started_at is None:
            self._end(TickState.SKIPPED, "condition_failed", error)
        else:
            self._end(TickState.FAILED, "", error)

    def _end(self, state: TickState, reason: str, error: str) -> None:
        self._close()
        self._taker.ended(self, state, reason, error)

    def _close(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def error_text(error: bytes) -> str:
    """Return an error body as a tick keeps it: `code: message`."""
    body = decode_error(error)
    text = f"{body.code}: {body.message}"[:ERROR_LIMIT]
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
