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

__all__ = ["EngineNotRunning", "EngineTooSlow", "InvocationFailed", "call"]

TIMEOUT_S: Final = 2.0
"""A page that lists what exists waits no longer; such a call takes milliseconds."""

Result = TypeVar("Result")


class EngineTooSlow(EngineError):
    """A call by the console was not answered in time."""

    code = "timeout"


def call(
    function_id: str,
    payload: Mapping[str, Any],
    result: type[Result],
    *,
    timeout_s: float = TIMEOUT_S,
) -> Result:
    """Call a function in the engine's own name and wait for its result.

    Never from the engine's event loop, which would wait for itself.

    Args:
        function_id: what to call.
        payload: goes out as JSON.
        result: what the JSON answer is read as; members that it does not name are skipped.
        timeout_s: how long to wait; the call is given up then.

    Raises:
        EngineNotRunning: no engine runs in this process.
        EngineTooSlow: there was no answer in time.
        InvocationFailed: the function answered with an error.
    """
    engine, loop = get_engine(), get_loop()
    calling = _invoke(engine, function_id, msgspec.json.encode(payload))
    future = asyncio.run_coroutine_threadsafe(calling, loop)
    try:
        answer = future.result(timeout_s)
    except TimeoutError as error:
        future.cancel()
        raise EngineTooSlow(f"{function_id} did not answer within {timeout_s:g} s") from error
    return msgspec.json.decode(answer or b"null", type=result)


async def _invoke(engine: Engine, function_id: str, data: bytes) -> bytes | None:
    return await engine.invoke(function_id, data)
