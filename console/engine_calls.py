"""Calls of the running engine's functions from Django's threads: the one door between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from engine.apps import EngineNotRunning, get_engine, get_loop
from engine.core.errors import EngineError, InvocationFailed

if TYPE_CHECKING:
    from engine.core.engine import Engine

__all__ = ["EngineNotRunning", "EngineTooSlow", "InvocationFailed", "WriteFailed", "call", "write"]

TIMEOUT_S: Final = 2.0
"""A page that lists what exists waits no longer; such a call takes milliseconds."""

WRITE_TIMEOUT_S: Final = 10.0
"""A commit waits for those before it; a person waits no longer."""

Result = TypeVar("Result")


class EngineTooSlow(EngineError):
    """A call by the console was not answered in time."""

    code = "timeout"


class WriteFailed(Exception):
    """The engine did not make a change; the message is for people.

    Attributes:
        code: of the function's error on the wire; empty if it did not answer.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def call(
    function_id: str,
    payload: Mapping[str, Any],
    result: type[Result],
    *,
    timeout_s: float = TIMEOUT_S,
    is_internal: bool = False,
) -> Result:
    """Call a function in the engine's own name and wait for its result.

    Never from the engine's event loop, which would wait for itself.

    Args:
        function_id: what to call.
        payload: goes out as JSON.
        result: what the JSON answer is read as; members that it does not name are skipped.
        timeout_s: how long to wait; the call is given up then.
        is_internal: whether the function is one that workers cannot call.

    Raises:
        EngineNotRunning: no engine runs in this process.
        EngineTooSlow: there was no answer in time.
        InvocationFailed: the function answered with an error.
    """
    engine, loop = get_engine(), get_loop()
    calling = _invoke(engine, function_id, msgspec.json.encode(payload), is_internal=is_internal)
    future = asyncio.run_coroutine_threadsafe(calling, loop)
    try:
        answer = future.result(timeout_s)
    except TimeoutError as error:
        future.cancel()
        raise EngineTooSlow(f"{function_id} did not answer within {timeout_s:g} s") from error
    return msgspec.json.decode(answer or b"null", type=result)


def write(
    function_id: str,
    payload: Mapping[str, Any],
    result: type[Result],
    *,
    is_internal: bool = False,
) -> Result:
    """Call a function that changes something, see `call`.

    Raises:
        WriteFailed: nothing was changed, or nobody knows whether something was.
    """
    try:
        return call(
            function_id, payload, result, timeout_s=WRITE_TIMEOUT_S, is_internal=is_internal
        )
    except EngineTooSlow as error:
        raise WriteFailed(
            f"{error.message}. Whether it was done shows when you open the page again."
        ) from error
    except InvocationFailed as error:
        raise WriteFailed(str(error), error.error_code) from error
    except EngineNotRunning as error:
        raise WriteFailed(str(error)) from error


async def _invoke(
    engine: Engine, function_id: str, data: bytes, *, is_internal: bool
) -> bytes | None:
    invoke = engine.invoke_internal if is_internal else engine.invoke
    return await invoke(function_id, data)
