"""Conditions and middleware: who may stop a request on its way to the handler."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from tests.integration.engine.modules.api.conftest import Setting, Start
from tests.integration.engine.modules.api.support import Client, Handler, HttpWorker, fail, hold, ok

Guarded: TypeAlias = Callable[[Handler], Awaitable[Setting]]


def go_on(_: Any) -> dict[str, str]:
    return {"action": "continue"}


def respond(response: Any) -> Handler:
    return lambda _: {"action": "respond", "response": response}


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
async def test_a_condition_that_says_false_is_422(
    client: Client, worker: HttpWorker, key: str
) -> None:
    worker.serve("cond", lambda _: False)
    worker.route("a", ok(), **{key: "cond"})

    answer = await client.get("/a")

    assert answer.status == 422
    assert answer.json == {"error": "Request condition not met", "skipped": True}
    assert [each["function_id"] for each in worker.invocations] == ["cond"]


@pytest.mark.parametrize("value", [True, 0, "", {}, [], None, "false"])
async def test_only_false_blocks(client: Client, worker: HttpWorker, value: Any) -> None:
    worker.serve("cond", lambda _: value)
    worker.route("a", ok("ran"), condition_function_id="cond")

    assert (await client.get("/a")).json == "ran"


async def test_a_condition_gets_what_the_handler_gets_but_the_channels(
    client: Client, worker: HttpWorker
) -> None:
    worker.serve("cond", lambda _: True)
    worker.route("a/:id", ok(), method="POST", condition_function_id="cond")

    await client.post("/a/1", {"n": 1})

    condition, handler = worker.invocations
    channels = {name: handler["data"].pop(name) for name in ("request_body", "response")}
    assert condition["data"] == handler["data"]
    assert condition["data"]["body"] == {"n": 1}
    assert [channel["direction"] for channel in channels.values()] == ["read", "write"]


async def test_a_condition_that_throws_is_500(client: Client, worker: HttpWorker) -> None:
    worker.serve("cond", fail)
    worker.route("a", ok(), condition_function_id="cond")

    answer = await client.get("/a")

    assert (answer.status, answer.json["error"]) == (500, "internal server error")
    assert [each["function_id"] for each in worker.invocations] == ["cond"]


async def test_a_condition_that_does_not_answer_is_504(start: Start) -> None:
    setting = await start(default_timeout=30)
    setting.worker.serve("cond", hold)
    setting.worker.route("a", ok(), condition_function_id="cond")

    answer = await setting.client.get("/a")

    assert (answer.status, answer.json["error"]["code"]) == (504, "timeout")


async def test_everybody_is_asked_in_order(start: Start) -> None:
    setting = await start(
        middleware=[
            {"function_id": "late", "priority": 5},
            {"function_id": "early", "priority": -1},
            {"function_id": "later", "priority": 5},
        ]
    )
    worker = setting.worker
    for name in ("early", "late", "later", "own1", "own2"):
        worker.serve(name, go_on)
    worker.serve("cond", lambda _: True)
    worker.serve("handler", ok("done"))
    worker.trigger(
        "t",
        "http",
        "handler",
        config={
            "api_path": "a",
            "condition_function_id": "cond",
            "middleware_function_ids": ["own1", "own2"],
        },
    )

    assert (await setting.client.get("/a")).json == "done"
    assert [each["function_id"] for each in worker.invocations] == [
        "early",
        "late",
        "later",
        "cond",
        "own1",
        "own2",
        "handler",
    ]


async def test_middleware_gets_the_head_of_the_request(client: Client, worker: HttpWorker) -> None:
    worker.serve("m", go_on)
    worker.route("a/:id", ok(), method="POST", middleware_function_ids=["m"])

    await client.post("/a/1?q=2", {"n": 1})

    assert worker.calls["m"] == [
        {
            "phase": "preHandler",
            "request": {
                "path_params": {"id": "1"},
                "query_params": {"q": "2"},
                "headers": {"content-type": "application/json", "content-length": "8"},
                "method": "POST",
            },
            "context": {},
        }
    ]


def guarded_by(setting: Setting, handler: Handler, own_middleware: list[str]) -> None:
    setting.worker.serve("m", handler)
    setting.worker.route("a", ok("handled"), middleware_function_ids=own_middleware)


@pytest.fixture(params=["config", "route"])
def guarded(request: pytest.FixtureRequest, start: Start) -> Guarded:
    """Start an engine whose route `a` has one middleware function, `m`, named in either place."""

    async def begin(handler: Handler) -> Setting:
        is_global = request.param == "config"
        middleware = [{"function_id": "m"}] if is_global else []
        setting = await start(middleware=middleware, default_timeout=50)
        guarded_by(setting, handler, own_middleware=[] if is_global else ["m"])
        return setting

    return begin


async def test_middleware_can_answer_in_place_of_the_handler(guarded: Guarded) -> None:
    response = {"status_code": 401, "headers": {"X-A": "1"}, "body": {"error": "who are you?"}}
    setting = await guarded(respond(response))

    answer = await setting.client.get("/a")

    assert (answer.status, answer.json) == (401, {"error": "who are you?"})
    assert answer.headers["x-a"] == "1"
    assert [each["function_id"] for each in setting.worker.invocations] == ["m"]


@pytest.mark.parametrize("verdict", [{"action": "respond"}, {"action": "respond", "response": {}}])
async def test_an_empty_response_of_middleware_is_200_with_null(
    guarded: Guarded, verdict: Any
) -> None:
    setting = await guarded(lambda _: verdict)

    answer = await setting.client.get("/a")

    assert (answer.status, answer.body) == (200, b"null")


@pytest.mark.parametrize("verdict", [None, {}, {"action": "dance"}, {"action": 5}, "continue", []])
async def test_middleware_that_says_neither_is_passed_with_a_warning(
    guarded: Guarded, verdict: Any, caplog: pytest.LogCaptureFixture
) -> None:
    setting = await guarded(lambda _: verdict)

    with caplog.at_level(logging.WARNING):
        answer = await setting.client.get("/a")

    assert answer.json == "handled"
    assert "neither continue nor respond" in caplog.text


async def test_middleware_that_throws_is_500(guarded: Guarded) -> None:
    setting = await guarded(fail)

    answer = await setting.client.get("/a")

    assert (answer.status, answer.json["error"]) == (500, "internal server error")
    assert [each["function_id"] for each in setting.worker.invocations] == ["m"]


async def test_middleware_that_does_not_answer_is_504(guarded: Guarded) -> None:
    setting = await guarded(hold)

    answer = await setting.client.get("/a")

    assert (answer.status, answer.json["error"]["code"]) == (504, "middleware_timeout")


async def test_a_bad_status_of_middleware_is_500_and_named(guarded: Guarded) -> None:
    setting = await guarded(respond({"status_code": 42}))

    answer = await setting.client.get("/a")

    assert answer.status == 500
    assert "42" in answer.json["error"]


async def test_a_slot_is_free_again_after_a_middleware_answer(start: Start) -> None:
    setting = await start(concurrency_request_limit=1, middleware=[{"function_id": "m"}])
    guarded_by(setting, respond({"status_code": 401}), own_middleware=[])

    assert [(await setting.client.get("/a")).status for _ in range(3)] == [401] * 3
