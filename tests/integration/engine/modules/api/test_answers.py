"""What clients get of handlers' results, and of their failures."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

from tests.integration.engine.modules.api.conftest import Setting, Start
from tests.integration.engine.modules.api.support import (
    Answer,
    Client,
    HttpWorker,
    fail,
    hold,
    ok,
    until,
)

INTERNAL_ERROR = "internal server error"


def assert_internal_error(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """It hides the reason, which is in the log under the error id."""
    body = answer.json
    assert (answer.status, set(body)) == (500, {"error", "error_id"})
    assert body["error"] == INTERNAL_ERROR
    assert re.fullmatch("[0-9a-f]+", body["error_id"])
    assert body["error_id"] in [getattr(record, "error_id", None) for record in caplog.records]


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ({"status": 201, "body": {"id": 1}}, 201, b'{"id":1}'),
        ({"status_code": 404, "body": {"error": "no such user"}}, 404, b'{"error":"no such user"}'),
        ({"foo": 1}, 200, b"{}"),
        ([1, 2], 200, b"{}"),
        ({"status_code": "404", "body": 1}, 404, b"1"),
        ({"status_code": 204, "body": {"a": 1}}, 204, b""),
        ({"status_code": 302, "headers": {"Location": "/x"}}, 302, b"{}"),
    ],
)
async def test_a_result_decides_status_and_body(
    client: Client, worker: HttpWorker, result: Any, status: int, body: bytes
) -> None:
    worker.route("a", lambda _: result)

    answer = await client.get("/a")

    assert (answer.status, answer.body) == (status, body)


async def test_a_content_type_of_its_own_takes_the_quotes_off_a_string(
    client: Client, worker: HttpWorker
) -> None:
    headers = {"X-A": "1", "Content-Type": "text/plain"}
    worker.route("a", lambda _: {"status_code": 200, "headers": headers, "body": "hi"})

    answer = await client.get("/a")

    assert answer.body == b"hi"
    assert answer.headers["x-a"] == "1"
    assert answer.headers["content-type"] == "text/plain"


async def test_headers_can_be_lines(client: Client, worker: HttpWorker) -> None:
    worker.route("a", lambda _: {"headers": ["X-A: 1"], "body": {}})

    answer = await client.get("/a")

    assert answer.headers["x-a"] == "1"
    assert answer.headers["content-type"] == "application/json"


async def test_several_cookies_can_be_set(client: Client, worker: HttpWorker) -> None:
    worker.route("a", lambda _: {"headers": {"Set-Cookie": ["a=1", "b=2"]}, "body": {}})

    assert (await client.get("/a")).all("set-cookie") == ["a=1", "b=2"]


async def test_a_handler_that_throws_is_500_and_the_next_request_works(
    client: Client, worker: HttpWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.route("bad", fail)
    worker.route("good", ok())

    answer = await client.get("/bad")

    assert_internal_error(answer, caplog)
    assert "secret reason" not in answer.body.decode()
    assert "secret reason" in caplog.text
    assert (await client.get("/good")).status == 200


async def test_a_status_that_does_not_exist_is_500_and_named(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("a", lambda _: {"status_code": 1000, "body": {}})

    answer = await client.get("/a")

    assert answer.status == 500
    assert "1000" in answer.json["error"]
    assert answer.json["error_id"]


async def test_a_route_whose_function_is_missing_is_500(
    client: Client, worker: HttpWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.trigger("t", "http", "nobody::has_it", config={"api_path": "a"})

    assert_internal_error(await client.get("/a"), caplog)


async def test_a_worker_that_leaves_during_a_request_is_500_at_once(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.worker.route("a", hold)
    running = asyncio.create_task(setting.client.get("/a"))
    await until(lambda: bool(setting.worker.held))

    setting.worker.leave()

    assert_internal_error(await running, caplog)


async def test_a_handler_that_takes_too_long_is_504(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    setting = await start(default_timeout=30)
    setting.worker.route("a", hold)
    loop = asyncio.get_running_loop()
    begin = loop.time()

    with caplog.at_level(logging.WARNING):
        answer = await setting.client.get("/a")

    assert 0.02 < loop.time() - begin < 1
    assert answer.status == 504
    assert answer.json["error"]["code"] == "timeout"
    assert "did not answer" in caplog.text


async def test_a_late_result_is_discarded_and_the_next_request_works(start: Start) -> None:
    setting = await start(default_timeout=30)
    setting.worker.route("a", hold)
    setting.worker.route("b", ok("fine"))
    await setting.client.get("/a")

    setting.worker.result(setting.worker.held[0], {"body": "late"})

    assert (await setting.client.get("/b")).json == "fine"


async def test_more_requests_than_the_limit_wait_for_their_turn(start: Start) -> None:
    setting = await start(concurrency_request_limit=1)
    worker = setting.worker
    worker.route("a", hold)

    requests = [asyncio.create_task(setting.client.get("/a")) for _ in range(3)]
    for number in range(3):
        await until(lambda: bool(worker.held))
        assert len(worker.invocations) == number + 1
        worker.result(worker.held.pop(), {"body": number})

    assert [(await each).json for each in requests] == [0, 1, 2]


async def test_waiting_for_a_turn_does_not_count_as_handling(start: Start) -> None:
    setting = await start(concurrency_request_limit=1, default_timeout=200)
    loop = asyncio.get_running_loop()
    setting.worker.route("a", hold)
    first, second = (asyncio.create_task(setting.client.get("/a")) for _ in range(2))
    await until(lambda: len(setting.worker.held) == 1)
    loop.call_later(0.15, lambda: setting.worker.result(setting.worker.held[0], {"body": "first"}))
    await until(lambda: len(setting.worker.held) == 2)

    loop.call_later(0.15, lambda: setting.worker.result(setting.worker.held[1], {"body": "second"}))

    assert [(await first).json, (await second).json] == ["first", "second"]


async def test_a_turn_that_does_not_come_in_time_is_503(start: Start) -> None:
    setting = await start(concurrency_request_limit=1, default_timeout=100)
    worker = setting.worker
    worker.serve("cond", hold)
    worker.route("slow", hold, condition_function_id="cond")
    worker.route("a", ok())
    slow = asyncio.create_task(setting.client.get("/slow"))
    await until(lambda: len(worker.held) == 1)
    waiting = asyncio.create_task(setting.client.get("/a"))

    # The slow request has twice the time limit: once for its condition, once for its handler.
    asyncio.get_running_loop().call_later(0.08, lambda: worker.result(worker.held[0], True))

    answer = await waiting
    assert (answer.status, answer.json["error"]["code"]) == (503, "overloaded")
    assert (await slow).status == 504
    assert (await setting.client.get("/a")).status == 200


async def test_a_limit_of_0_counts_as_1_and_says_so(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    setting = await start(concurrency_request_limit=0)
    setting.worker.route("a", ok())

    assert (await setting.client.get("/a")).status == 200
    assert "concurrency_request_limit" in caplog.text


async def test_a_bug_in_the_engine_is_500_with_a_traceback_in_the_log(
    client: Client,
    worker: HttpWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    worker.route("a", ok())
    monkeypatch.setattr("engine.modules.api.request.Request.payload", broken)

    assert_internal_error(await client.get("/a"), caplog)
    assert "ZeroDivisionError" in caplog.text


async def test_a_client_that_leaves_before_its_answer_harms_nobody(setting: Setting) -> None:
    setting.worker.route("a", ok())

    async def gone(_: Any) -> None:
        raise OSError("connection lost")

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    request = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/a",
        "query_string": b"",
        "headers": [],
    }
    await setting.client.app(request, receive, gone)

    assert (await setting.client.get("/a")).status == 200
