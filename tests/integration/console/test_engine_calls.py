"""Calls of the engine's functions from another thread."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from console.engine_calls import EngineNotRunning, EngineTooSlow, InvocationFailed, call
from engine.core.functions import Call
from tests.integration.console.conftest import EngineThread


def test_a_result_is_read_as_what_was_asked_for(running: EngineThread) -> None:
    running.do(
        lambda: running.engine.register_function("test::echo", lambda asked: asked.data),
    )

    assert call("test::echo", {"a": [1]}, dict[str, list[int]]) == {"a": [1]}


def test_a_function_without_a_result_gives_none(running: EngineThread) -> None:
    running.do(lambda: running.engine.register_function("test::void", lambda asked: None))

    assert call("test::void", {}, type(None)) is None


def test_an_error_is_the_functions_own(running: EngineThread) -> None:
    with pytest.raises(InvocationFailed, match=r"NOT_FOUND: function nope does not exist"):
        call("engine::functions::info", {"function_id": "nope"}, dict[str, Any])


def test_an_internal_function_is_found_when_it_is_meant(running: EngineThread) -> None:
    running.do(
        lambda: running.engine.register_function("test::in", lambda asked: b"1", is_internal=True),
    )

    assert call("test::in", {}, int, is_internal=True) == 1
    with pytest.raises(InvocationFailed, match="function_not_found"):
        call("test::in", {}, int)


def test_a_call_that_takes_too_long_is_given_up(running: EngineThread) -> None:
    given_up = asyncio.run_coroutine_threadsafe(make_event(), running.loop).result()

    async def hang(asked: Call) -> bytes | None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return None

    running.do(lambda: running.engine.register_function("test::hang", hang))

    with pytest.raises(EngineTooSlow, match=r"test::hang did not answer within 0.05 s"):
        call("test::hang", {}, dict[str, Any], timeout_s=0.05)


async def make_event() -> asyncio.Event:
    return asyncio.Event()


def test_without_an_engine_there_is_nobody_to_call() -> None:
    with pytest.raises(EngineNotRunning, match="no engine runs in this process"):
        call("engine::workers::list", {}, dict[str, Any])
