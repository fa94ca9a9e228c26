"""The stream functions, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.streams.conftest import Client
from tests.store_engine import StoreWorker

AT: dict[str, Any] = {"stream_name": "chat", "group_id": "g", "item_id": "m1"}


async def test_set_answers_the_old_and_the_new_value(worker: StoreWorker) -> None:
    answer = await worker.answer("stream::set", {**AT, "data": {"n": 1}})
    assert answer == {"result": {"old_value": None, "new_value": {"n": 1}}}
    answer = await worker.answer("stream::set", {**AT, "data": 2})
    assert answer == {"result": {"old_value": {"n": 1}, "new_value": 2}}


async def test_get_of_a_missing_item_has_neither_result_nor_error(worker: StoreWorker) -> None:
    assert await worker.answer("stream::get", AT) == {}


async def test_delete_answers_the_old_value(worker: StoreWorker) -> None:
    await worker.result("stream::set", {**AT, "data": [1]})
    assert await worker.answer("stream::delete", AT) == {"result": {"old_value": [1]}}
    assert await worker.answer("stream::delete", AT) == {"result": {"old_value": None}}


async def test_update_changes_an_item_by_operations(worker: StoreWorker) -> None:
    ops = [{"type": "increment", "path": "n", "by": 2}]
    answer = await worker.result("stream::update", {**AT, "ops": ops})
    assert answer == {"old_value": None, "new_value": {"n": 2}}
    answer = await worker.result(
        "stream::update", {**AT, "ops": [*ops, {"type": "merge", "value": 1}]}
    )
    assert (answer["new_value"], answer["errors"][0]["code"]) == (
        {"n": 4},
        "merge.value.not_an_object",
    )


async def test_list_answers_the_items_of_a_group_in_the_order_of_insertion(
    worker: StoreWorker,
) -> None:
    for group, item, value in (("g", "b", 1), ("g", "a", 2), ("other", "c", 3)):
        place = {"stream_name": "chat", "group_id": group, "item_id": item}
        await worker.result("stream::set", {**place, "data": value})
    assert await worker.result("stream::list", {"stream_name": "chat", "group_id": "g"}) == [1, 2]
    assert await worker.result("stream::list", {"stream_name": "chat", "group_id": "x"}) == []
    page = {"stream_name": "chat", "group_id": "g", "prefix": "a"}
    assert await worker.result("stream::list", page) == {
        "items": [{"key": "a", "value": 2}],
        "cursor": None,
    }


async def test_list_groups_is_a_bare_array_and_list_all_an_object(worker: StoreWorker) -> None:
    for stream, group in (("b:x", "y:z"), ("a", "2"), ("a", "1"), ("gone", "g")):
        place = {"stream_name": stream, "group_id": group, "item_id": "i"}
        await worker.result("stream::set", {**place, "data": 1})
    gone = {"stream_name": "gone", "group_id": "g", "item_id": "i"}
    await worker.result("stream::delete", gone)
    assert await worker.result("stream::list_groups", {"stream_name": "a"}) == ["1", "2"]
    assert await worker.result("stream::list_groups", {"stream_name": "gone"}) == []
    assert await worker.result("stream::list_all", {}) == {
        "stream": [{"id": "a", "groups": ["1", "2"]}, {"id": "b:x", "groups": ["y:z"]}],
        "count": 2,
    }


async def test_send_answers_null_and_keeps_nothing(worker: StoreWorker) -> None:
    payload = {"stream_name": "chat", "group_id": "g", "type": "typing", "data": 1}
    assert await worker.answer("stream::send", payload) == {"result": None}
    assert await worker.result("stream::list_all", None) == {"stream": [], "count": 0}


async def test_a_positional_array_is_read_in_the_order_of_the_members(worker: StoreWorker) -> None:
    await worker.result("stream::set", ["chat", "g", "m1", {"n": 1}])
    assert await worker.result("stream::get", ["chat", "g", "m1"]) == {"n": 1}


@pytest.mark.parametrize("prefix", ["stream.", "streams."])
async def test_dotted_spellings_work_and_are_not_listed(worker: StoreWorker, prefix: str) -> None:
    payload = {**AT, "data": 1, "ops": [], "type": "t"}
    names = ["set", "get", "update", "list", "list_groups", "list_all", "send", "delete"]
    if prefix == "streams.":
        names += ["getGroup", "listGroups"]
    for name in names:
        assert "error" not in await worker.answer(f"{prefix}{name}", payload), name
    listed = await worker.result("engine::functions::list", {"include_internal": True})
    ids = {each["function_id"] for each in listed["functions"]}
    assert "stream::set" in ids
    assert not any(each.startswith(prefix) for each in ids)


@pytest.mark.parametrize(
    ("function", "payload", "problem"),
    [
        ("stream::set", AT, "missing required field `data`"),
        ("stream::set", {**AT, "data": 1, "value": 2}, "duplicate field `data`"),
        ("stream::set", {**AT, "group_id": None, "data": 1}, "missing required field `group_id`"),
        ("stream::get", {**AT, "item_id": 5}, "$.item_id"),
        ("stream::get", {**AT, "item_id": "a\0b"}, "`item_id` must not hold the NUL character"),
        ("stream::get", {**AT, "stream_name": "x" * 1025}, "`stream_name` is longer than 1024"),
        ("stream::update", AT, "missing required field `ops`"),
        ("stream::list", {"stream_name": "chat"}, "missing required field `group_id`"),
        ("stream::list_groups", {}, "missing required field `stream_name`"),
        ("stream::send", {**AT, "data": 1}, "missing required field `type`"),
        ("stream::send", {**AT, "type": "t"}, "missing required field `data`"),
        ("stream::subscribers", {"limit": 0}, "`limit` must be from 1 to 10000"),
    ],
)
async def test_a_payload_that_cannot_be_meant_is_refused_by_name(
    worker: StoreWorker, function: str, payload: Any, problem: str
) -> None:
    code, message = await worker.code(function, payload)
    assert code == "deserialization_error"
    assert message.startswith(f"{function}: ")
    assert problem in message


async def test_a_version_that_is_not_there_changes_nothing_and_tells_nobody(
    worker: StoreWorker, client: Callable[..., Awaitable[Client]]
) -> None:
    follower = await client()
    follower.join()
    await follower.events(1)
    code, _ = await worker.code("stream::set", {**AT, "data": 1, "if_version": 7})
    assert code == "version_conflict"
    await worker.result("stream::set", {**AT, "data": 2, "if_version": 0})
    assert await follower.events(1) == [{"type": "create", "data": 2}]


async def test_an_item_that_expires_is_deleted_for_its_followers(
    worker: StoreWorker, client: Callable[..., Awaitable[Client]]
) -> None:
    follower = await client()
    follower.join()
    await worker.result("stream::set", {**AT, "data": 1, "ttl_ms": 20})
    assert (await follower.events(3))[1:] == [
        {"type": "create", "data": 1},
        {"type": "delete", "data": 1},
    ]


async def test_subscribers_says_who_follows_what(
    worker: StoreWorker, client: Callable[..., Awaitable[Client]]
) -> None:
    one, other = await client(), await client()
    one.join("a", "g")
    one.join("b", "g", id="m1")
    other.join("c", "h")
    await one.events(2)
    await other.events(1)
    everybody = await worker.result("stream::subscribers", {})
    assert everybody["count"] == 3
    members = ("subscription_id", "stream_name", "group_id", "id")
    assert sorted(tuple(each[name] for name in members) for each in everybody["subscribers"]) == [
        ("a", "chat", "g", None),
        ("b", "chat", "g", "m1"),
        ("c", "chat", "h", None),
    ]
    found = await worker.result("stream::subscribers", {"stream_name": "chat", "group_id": "g"})
    assert len({each["client_id"] for each in found["subscribers"]}) == 1
    assert all(each["since"] > 0 for each in found["subscribers"])
    page = await worker.result("stream::subscribers", {"limit": 1})
    assert (len(page["subscribers"]), page["count"]) == (1, 3)
    one.close()
    assert (await worker.result("stream::subscribers", {}))["count"] == 1
