"""One call whose answer the load generator reads, instead of comparing it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import orjson

from tests.bench.connection import Connection, Loop
from tests.bench.frames import call_template, invocation_id
from tests.bench.measuring import READY_LIMIT_S, TURN_S, JobFailed, await_all


class OneCall:
    """A worker that makes one call as soon as it is connected.

    Attributes:
        answer: the message that came back; None as long as there is none.
    """

    def __init__(self, loop: Loop, port: int, function_id: str, data: bytes) -> None:
        self.answer: dict[str, Any] | None = None
        self._call = call_template(function_id, data)
        self.connection = Connection(loop, port, self, on_open=self._start)

    def receive_run(self, frames: bytes, size: int, header: int) -> None:
        """Look through small messages."""
        for start in range(header, len(frames), size):
            self.receive(frames, start, start + size - header)

    def receive(self, buffer: bytes | bytearray, start: int, end: int) -> None:
        """Keep the answer."""
        message = orjson.loads(buffer[start:end])
        if message["type"] == "invocationresult":
            self.answer = message

    def _start(self) -> None:
        self.connection.send([self._call.head + invocation_id(0) + self._call.tail])


def ask(loop: Loop, port: int, function_id: str, data: bytes) -> Any:
    """Call a function once and return its result.

    Raises:
        JobFailed: the answer is an error, or there is none.
    """
    call = OneCall(loop, port, function_id, data)
    await_all(loop, lambda: call.answer is not None, f"answer a call of {function_id}")
    assert call.answer is not None
    if "error" in call.answer:
        raise JobFailed(f"{function_id}: {call.answer['error']}")
    return call.answer.get("result")


def await_so(loop: Loop, is_so: Callable[[], bool], what: str) -> None:
    """Ask until something is so.

    Raises:
        JobFailed: it is not so in time; the message says what.
    """
    deadline = perf_counter() + READY_LIMIT_S
    while not is_so():
        if perf_counter() > deadline:
            raise JobFailed(f"not within {READY_LIMIT_S:.0f} s: {what}")
        loop.turn(TURN_S)
