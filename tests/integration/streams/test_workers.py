"""What workers have to say about streams: conditions, handlers, authentication, own storage."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from streams import doors
from tests.integration.streams.conftest import Client
from tests.store_engine import StoreWorker

Connect: TypeAlias = Callable[..., Awaitable[Client]]

AT: dict[str, Any] = {"stream_name": "chat", "group_id": "g", "item_id": "m1"}
GROUP: dict[str, Any] = {"stream_name": "chat", "group_id": "g"}


@pytest.fixture
def place() -> tuple[str, str]:
    """Workers see no difference between stores."""
    return "memory", ""


async def called(worker: StoreWorker, function_id: str) -> dict[str, Any]:
    """Return the next invocation, which is one of this function."""
    (invocation,) = await worker.events(1)
    assert invocation["function_id"] == function_id
    return invocation


# --- the trigger type stream --------------------------------------------------------------------


async def test_a_trigger_of_a_group_gets_the_envelopes_of_that_group(worker: StoreWorker) -> None:
    worker.function("on::event")
    worker.trigger("t", "stream", "on::event", config=GROUP)
    await worker.result("stream::set", {**AT, "group_id": "other", "data": 1})
    await worker.result("stream::set", {**AT, "data": {"n": 1}})
    await worker.result("stream::delete", AT)
    await worker.result("stream::send", {**GROUP, "type": "t", "data": 2})
    data = [invocation["data"] for invocation in await worker.events(3)]
    assert {name: data[0][name] for name in ("type", "streamName", "groupId", "id", "event")} == {
        "type": "stream",
        "streamName": "chat",
        "groupId": "g",
        "id": "m1",
        "event": {"type": "create", "data": {"n": 1}},
    }
    assert [each["event"]["type"] for each in data] == ["create", "delete", "event"]
    assert [each["seq"] for each in data] == sorted({each["seq"] for each in data})
    assert data[0]["timestamp"] > 0


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({}, 4),
        (None, 4),
        ({"stream_name": "", "group_id": "", "item_id": ""}, 4),
        ({"stream_name": "chat"}, 3),
        ({"stream_name": "chat", "group_id": "g"}, 2),
        ({"stream_name": "chat", "item_id": "m1"}, 2),
        ({"stream_name": "chat", "group_id": "g", "item_id": "m1"}, 1),
        ({"stream_name": "none"}, 0),
    ],
)
async def test_an_empty_or_missing_filter_lets_everything_through(
    worker: StoreWorker, config: Any, count: int
) -> None:
    worker.function("on::event")
    worker.trigger("t", "stream", "on::event", config=config)
    for stream, group, item in (
        ("chat", "g", "m1"),
        ("chat", "g", "m2"),
        ("chat", "h", "m1"),
        ("x", "g", "m1"),
    ):
        place = {"stream_name": stream, "group_id": group, "item_id": item}
        await worker.result("stream::set", {**place, "data": 1})
    assert len(worker.handled) == count


async def test_a_config_that_cannot_be_meant_is_refused(
    worker: StoreWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.function("on::event")
    worker.trigger("t", "stream", "on::event", config={"stream_name": 5})
    await worker.result("stream::set", {**AT, "data": 1})
    (refusal,) = worker.handled
    assert refusal["type"] == "triggerregistrationresult"
    assert "$.stream_name" in caplog.text


async def test_a_condition_that_says_false_blocks_and_events_keep_their_order(
    worker: StoreWorker,
) -> None:
    worker.function("on::event")
    worker.function("may::pass")
    config = {**GROUP, "condition_function_id": "may::pass"}
    worker.trigger("t", "stream", "on::event", config=config)
    for number in range(3):
        await worker.result("stream::set", {**AT, "data": number})
    for answer in (True, False, None):
        worker.reply(await called(worker, "may::pass"), answer)
        if answer is not False:
            await called(worker, "on::event")


async def test_a_trigger_that_has_gone_fires_no_more(worker: StoreWorker) -> None:
    worker.function("on::event")
    worker.trigger("t", "stream", "on::event")
    worker.send("unregistertrigger", id="t", trigger_type="stream")
    await worker.result("stream::set", {**AT, "data": 1})
    assert worker.handled == []


# --- joining and leaving ------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["streams:join", "stream:join"])
async def test_a_join_handler_is_told_who_wants_to_follow_what(
    worker: StoreWorker, client: Connect, spelling: str
) -> None:
    worker.function("on::join")
    worker.trigger("t", spelling, "on::join")
    follower = await client()
    follower.join("s1", id="m1")
    invocation = await called(worker, "on::join")
    assert invocation["data"] == {
        "subscription_id": "s1",
        "stream_name": "chat",
        "group_id": "g",
        "id": "m1",
        "context": None,
    }
    assert follower.take() == []
    worker.reply(invocation, None)
    assert await follower.events(1) == [{"type": "sync", "data": None}]


async def test_who_is_unauthorized_gets_no_events(worker: StoreWorker, client: Connect) -> None:
    worker.function("on::join")
    worker.trigger("t", "streams:join", "on::join")
    follower = await client()
    follower.join()
    worker.reply(await called(worker, "on::join"), {"unauthorized": True})
    (envelope,) = await follower.envelopes(1)
    assert envelope["event"] == {"type": "unauthorized"}
    assert (envelope["streamName"], envelope["groupId"], envelope["id"]) == ("chat", "g", None)
    await worker.result("stream::set", {**AT, "data": 1})
    assert follower.take() == []
    assert (await worker.result("stream::subscribers", {}))["count"] == 0


@pytest.mark.parametrize("answer", [False, 0, "no", [], {"unauthorized": False}, {"x": 1}])
async def test_everything_else_lets_in(worker: StoreWorker, client: Connect, answer: Any) -> None:
    worker.function("on::join")
    worker.trigger("t", "stream:join", "on::join")
    follower = await client()
    follower.join()
    worker.reply(await called(worker, "on::join"), answer)
    assert await follower.events(1) == [{"type": "sync", "data": []}]


async def test_join_handlers_are_called_one_after_the_other_and_any_may_refuse(
    worker: StoreWorker, client: Connect
) -> None:
    for name in ("one", "two", "never"):
        worker.function(f"on::{name}")
        config = {"stream_name": "other"} if name == "never" else {}
        worker.trigger(name, "stream:join", f"on::{name}", config=config)
    follower = await client()
    follower.join()
    worker.reply(await called(worker, "on::one"), {"unauthorized": True})
    worker.reply(await called(worker, "on::two"), None)
    assert await follower.events(1) == [{"type": "unauthorized"}]


async def test_a_join_handler_that_fails_or_takes_too_long_keeps_nobody_out(
    worker: StoreWorker,
    client: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(doors, "HANDLER_LIMIT_S", 0.05)
    for name in ("failing", "slow"):
        worker.function(f"on::{name}")
        worker.trigger(name, "stream:join", f"on::{name}")
    worker.trigger("missing", "stream:join", "on::missing")
    follower = await client()
    follower.join()
    worker.error(await called(worker, "on::failing"), {"code": "x", "message": "no"})
    await called(worker, "on::slow")
    assert await follower.events(1) == [{"type": "sync", "data": []}]
    assert caplog.text.count("stream:join handler failed") == 3


async def test_a_condition_of_a_join_trigger_skips_its_handler_only(
    worker: StoreWorker, client: Connect
) -> None:
    for name in ("may::ask", "on::join", "on::other"):
        worker.function(name)
    worker.trigger("t", "stream:join", "on::join", config={"condition_function_id": "may::ask"})
    worker.trigger("u", "stream:join", "on::other")
    follower = await client()
    follower.join()
    worker.reply(await called(worker, "may::ask"), False)
    worker.reply(await called(worker, "on::other"), None)
    assert await follower.events(1) == [{"type": "sync", "data": []}]


async def test_messages_behind_a_join_wait_for_its_handlers(
    worker: StoreWorker, client: Connect
) -> None:
    worker.function("on::join")
    worker.trigger("t", "stream:join", "on::join")
    follower = await client()
    follower.join("a")
    follower.join("b", id="m1")
    follower.leave("a")
    worker.reply(await called(worker, "on::join"), None)
    worker.reply(await called(worker, "on::join"), None)
    assert [event["data"] for event in await follower.events(2)] == [[], None]
    found = await worker.result("stream::subscribers", {})
    assert [each["subscription_id"] for each in found["subscribers"]] == ["b"]


@pytest.mark.parametrize("spelling", ["streams:leave", "stream:leave"])
async def test_the_end_of_a_connection_is_told_for_each_subscription(
    worker: StoreWorker, client: Connect, spelling: str
) -> None:
    worker.function("on::leave")
    worker.trigger("t", spelling, "on::leave")
    follower = await client()
    follower.join("a")
    follower.join("b", id="m1")
    follower.join("c")
    await follower.events(3)
    follower.leave("c")
    told = []
    worker.reply(left := await called(worker, "on::leave"), None)
    told.append(left["data"]["subscription_id"])
    await until_idle(worker, 2)
    follower.close()
    for _ in range(2):
        worker.reply(left := await called(worker, "on::leave"), None)
        told.append(left["data"]["subscription_id"])
    assert told == ["c", "a", "b"]
    assert left["data"] == {
        "subscription_id": "b",
        "stream_name": "chat",
        "group_id": "g",
        "id": "m1",
        "context": None,
    }


async def until_idle(worker: StoreWorker, count: int) -> None:
    """Wait until so many subscriptions are left."""
    async with asyncio.timeout(10):
        while (await worker.result("stream::subscribers", {}))["count"] != count:
            await asyncio.sleep(0.001)


async def test_who_goes_away_while_a_handler_is_asked_does_not_join(
    worker: StoreWorker, client: Connect
) -> None:
    for name in ("join", "leave"):
        worker.function(f"on::{name}")
        worker.trigger(name, f"stream:{name}", f"on::{name}")
    follower = await client()
    follower.join()
    invocation = await called(worker, "on::join")
    follower.close()
    worker.reply(invocation, None)
    assert (await worker.result("stream::subscribers", {}))["count"] == 0
    assert worker.handled == []


# --- authentication -----------------------------------------------------------------------------


class TestWithAnAuthFunction:
    """The module's `auth_function` is configured."""

    @pytest.fixture
    def stream_options(self) -> dict[str, Any]:
        return {"auth_function": "auth::check"}

    async def test_its_context_reaches_the_handlers(
        self, worker: StoreWorker, client: Connect
    ) -> None:
        for name in ("auth::check", "on::join", "on::leave"):
            worker.function(name)
        worker.trigger("j", "stream:join", "on::join")
        worker.trigger("l", "stream:leave", "on::leave")
        connecting = asyncio.ensure_future(client())
        invocation = await called(worker, "auth::check")
        assert invocation["data"] == {
            "headers": {"x-one": "1", "authorization": "Bearer x"},
            "path": "/",
            "query_params": {"a": ["1", "%32"], "b": [""]},
            "addr": "10.0.0.5:51234",
        }
        worker.reply(invocation, {"context": {"user": "ann"}, "more": 1})
        follower = await connecting
        follower.join()
        joined = await called(worker, "on::join")
        assert joined["data"]["context"] == {"user": "ann"}
        worker.reply(joined, None)
        await follower.events(1)
        follower.close()
        assert (await called(worker, "on::leave"))["data"]["context"] == {"user": "ann"}

    @pytest.mark.parametrize("answer", [None, 5, {}, "error", "missing"])
    async def test_whatever_it_answers_the_client_is_let_in(
        self, worker: StoreWorker, client: Connect, answer: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        worker.function("on::join")
        worker.trigger("j", "stream:join", "on::join")
        if answer != "missing":
            worker.function("auth::check")
        connecting = asyncio.ensure_future(client())
        if answer == "error":
            worker.error(await called(worker, "auth::check"), {"code": "x", "message": "no"})
        elif answer != "missing":
            worker.reply(await called(worker, "auth::check"), answer)
        follower = await connecting
        follower.join()
        assert (await called(worker, "on::join"))["data"]["context"] is None
        assert ("auth function" in caplog.text) == (answer != {})


# --- streams that a worker keeps ----------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["stream::{}({})", "stream.{}({})", "streams.{}({})"])
async def test_a_workers_functions_stand_for_the_store(
    worker: StoreWorker, client: Connect, spelling: str
) -> None:
    for name in ("set", "get"):
        worker.function(spelling.format(name, "chat"))
    follower = await client()
    follower.join("s", id="m1")
    get = await called(worker, spelling.format("get", "chat"))
    assert get["data"] == AT
    worker.reply(get, {"kept": "elsewhere"})
    assert await follower.events(1) == [{"type": "sync", "data": {"kept": "elsewhere"}}]

    call_id = worker.invoke("stream::set", {**AT, "data": 1})
    change = await called(worker, spelling.format("set", "chat"))
    assert change["data"] == {**AT, "data": 1}
    worker.reply(change, {"old_value": None, "new_value": 2, "more": True})
    answer = await answer_of(worker, call_id)
    assert answer["result"] == {"old_value": None, "new_value": 2, "more": True}
    assert await follower.events(1) == [{"type": "create", "data": 2}]
    other = await worker.result("stream::set", {**AT, "stream_name": "other", "data": 1})
    assert other == {"old_value": None, "new_value": 1}


async def answer_of(worker: StoreWorker, call_id: str) -> dict[str, Any]:
    """Return the frame that answers a call."""
    async with asyncio.timeout(10):
        while True:
            for frame in [*worker.handled, *worker.take()]:
                if frame.get("invocation_id") == call_id:
                    worker.handled = [each for each in worker.handled if each is not frame]
                    return frame
                if frame not in worker.handled:
                    worker.handled.append(frame)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("function", "answer", "expected"),
    [
        ("set", None, ("STREAM_SET_ERROR", "Failed to set value: Function returned no result")),
        ("set", {"old_value": 1}, ("JSON_ERROR", "new_value")),
        ("set", [1], ("JSON_ERROR", "shape")),
        ("update", None, ("STREAM_UPDATE_ERROR", "Function returned no result")),
        ("delete", None, ("STREAM_DELETE_ERROR", "Function returned no result")),
        ("delete", {}, ("JSON_ERROR", "old_value")),
    ],
)
async def test_a_worker_that_answers_in_another_shape_is_told_apart(
    worker: StoreWorker, function: str, answer: Any, expected: tuple[str, str]
) -> None:
    worker.function(f"stream::{function}(chat)")
    call_id = worker.invoke(f"stream::{function}", {**AT, "data": 1, "ops": []})
    worker.reply(await called(worker, f"stream::{function}(chat)"), answer)
    error = (await answer_of(worker, call_id))["error"]
    assert error["code"] == expected[0]
    assert expected[1] in error["message"]


async def test_an_error_of_a_worker_is_passed_on_unchanged(worker: StoreWorker) -> None:
    worker.function("stream::list(chat)")
    call_id = worker.invoke("stream::list", GROUP)
    error = {"code": "mine", "message": "not now"}
    worker.error(await called(worker, "stream::list(chat)"), error)
    found = (await answer_of(worker, call_id))["error"]
    assert (found["code"], found["message"]) == ("mine", "not now")


@pytest.mark.parametrize("function", ["get", "list", "list_groups"])
async def test_a_worker_that_has_nothing_to_read_answers_nothing(
    worker: StoreWorker, function: str
) -> None:
    worker.function(f"stream::{function}(chat)")
    call_id = worker.invoke(f"stream::{function}", AT)
    worker.reply(await called(worker, f"stream::{function}(chat)"), None)
    frame = await answer_of(worker, call_id)
    assert not {"result", "error"} & set(frame)


async def test_a_worker_that_deletes_tells_what_was_there(
    worker: StoreWorker, client: Connect
) -> None:
    worker.function("stream::delete(chat)")
    follower = await client()
    follower.join()
    await follower.events(1)
    for old in (None, {"n": 1}):
        call_id = worker.invoke("stream::delete", AT)
        worker.reply(await called(worker, "stream::delete(chat)"), {"old_value": old})
        assert (await answer_of(worker, call_id))["result"] == {"old_value": old}
    assert await follower.events(1) == [{"type": "delete", "data": {"n": 1}}]


async def test_events_wait_for_the_sync_that_a_worker_gives(
    worker: StoreWorker, client: Connect
) -> None:
    worker.function("stream::list(chat)")
    follower = await client()
    follower.join()
    invocation = await called(worker, "stream::list(chat)")
    assert invocation["data"] == GROUP
    await worker.result("stream::send", {**GROUP, "type": "t", "data": 1})
    assert follower.take() == []
    worker.reply(invocation, None)
    envelopes = await follower.envelopes(2)
    assert [each["event"]["type"] for each in envelopes] == ["sync", "event"]
    assert envelopes[0]["event"]["data"] == []
    assert envelopes[0]["seq"] < envelopes[1]["seq"]


async def test_a_worker_that_fails_to_give_a_sync_is_left_out(
    worker: StoreWorker, client: Connect
) -> None:
    worker.function("stream::list(chat)")
    follower = await client()
    follower.join()
    error = {"code": "x", "message": "no"}
    worker.error(await called(worker, "stream::list(chat)"), error)
    await worker.result("stream::set", {**AT, "data": 1})
    assert await follower.events(1) == [{"type": "create", "data": 1}]


async def test_an_ordinary_service_of_a_streams_name_is_left_alone(worker: StoreWorker) -> None:
    for name in ("get", "set", "list"):
        worker.function(f"chat::{name}")
    await worker.result("stream::set", {**AT, "data": 1})
    assert await worker.result("stream::get", AT) == 1
    for name in ("delete", "list_groups"):
        worker.function(f"chat::{name}")
    worker.invoke("stream::get", AT)
    await called(worker, "chat::get")


async def test_a_stream_is_the_stores_again_when_its_worker_has_gone(worker: StoreWorker) -> None:
    worker.function("stream::get(chat)")
    worker.send("unregisterfunction", id="stream::get(chat)")
    await worker.result("stream::set", {**AT, "data": json.loads("1")})
    assert await worker.result("stream::get", AT) == 1
