"""The KV server's functions, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import FakeWorker, make_engine
from tests.store_engine import StoreWorker

AT: dict[str, Any] = {"index": "i", "key": "k"}


async def test_set_then_get(worker: StoreWorker) -> None:
    answer = await worker.result("kv_server::set", {**AT, "value": {"n": 1}})
    assert answer == {"old_value": None, "new_value": {"n": 1}}
    assert await worker.result("kv_server::get", AT) == {"n": 1}
    assert await worker.answer("kv_server::get", {"index": "none", "key": "k"}) == {}


@pytest.mark.parametrize("function", ["set", "get", "delete", "update"])
async def test_scope_is_not_index(worker: StoreWorker, function: str) -> None:
    payload = {"scope": "s", "key": "k", "value": 1, "ops": []}
    code, message = await worker.code(f"kv_server::{function}", payload)
    assert code == "deserialization_error"
    assert message == f"kv_server::{function}: Object missing required field `index`"


async def test_delete_answers_an_object(worker: StoreWorker) -> None:
    await worker.result("kv_server::set", {**AT, "value": 1})
    assert await worker.result("kv_server::delete", AT) == {"old_value": 1}
    assert await worker.result("kv_server::delete", AT) == {"old_value": None}


async def test_an_unknown_index_lists_nothing(worker: StoreWorker) -> None:
    assert await worker.result("kv_server::list", {"index": "none"}) == []


async def test_keys_are_found_by_prefix_in_all_indexes_or_in_one(worker: StoreWorker) -> None:
    for index, key in (("default", "user:1"), ("default", "item:1"), ("other", "user:2")):
        await worker.result("kv_server::set", {"index": index, "key": key, "value": 1})
    find = "kv_server::list_keys_with_prefix"
    assert await worker.result(find, {"prefix": "user:"}) == ["user:1", "user:2"]
    assert await worker.result(find, {"prefix": "user:", "index": "other"}) == ["user:2"]
    assert await worker.result(find, {"prefix": ""}) == ["item:1", "user:1", "user:2"]


async def test_indexes_do_not_see_each_other(worker: StoreWorker) -> None:
    for index in ("one", "two"):
        await worker.result("kv_server::set", {"index": index, "key": "k", "value": index})
    assert await worker.result("kv_server::get", {"index": "one", "key": "k"}) == "one"
    assert await worker.result("kv_server::list", {"index": "two"}) == ["two"]
    assert await worker.result("kv_server::list_groups", {}) == {"groups": ["one", "two"]}


async def test_update_increments(worker: StoreWorker) -> None:
    ops = [{"type": "increment", "path": "n", "by": 5}]
    assert await worker.result("kv_server::update", {**AT, "ops": ops}) == {
        "old_value": None,
        "new_value": {"n": 5},
    }


async def test_state_and_kv_do_not_see_each_other(worker: StoreWorker) -> None:
    await worker.result("kv_server::set", {"index": "same", "key": "k", "value": "kv"})
    await worker.result("state::set", {"scope": "same", "key": "k", "value": "state"})
    assert await worker.result("kv_server::get", {"index": "same", "key": "k"}) == "kv"
    assert await worker.result("state::get", {"scope": "same", "key": "k"}) == "state"


async def test_versions_pages_and_expiry_are_those_of_state(worker: StoreWorker) -> None:
    created = await worker.result("kv_server::set", {**AT, "value": 1, "if_version": 0})
    read = await worker.result("kv_server::get", {**AT, "with_version": True})
    assert read == {"value": 1, "version": created["version"]}
    code, _ = await worker.code("kv_server::delete", {**AT, "if_version": 0})
    assert code == "version_conflict"
    page = await worker.result("kv_server::list", {"index": "i", "limit": 1})
    assert page == {"items": [{"key": "k", "value": 1}], "cursor": None}
    code, message = await worker.code("kv_server::set", {**AT, "value": 1, "ttl_ms": -1})
    assert (code, "ttl_ms" in message) == ("deserialization_error", True)


@pytest.mark.parametrize("name", ["get", "set", "delete", "update", "list"])
async def test_dotted_spellings_work(worker: StoreWorker, name: str) -> None:
    answer = await worker.answer(f"kv_server.{name}", {**AT, "value": 1, "ops": []})
    assert "error" not in answer


async def test_without_the_module_its_functions_do_not_exist() -> None:
    engine = make_engine()
    await engine.start()
    answer = FakeWorker(engine).call("kv_server::get", AT)
    assert answer["error"]["code"] == "function_not_found"
    await engine.stop(grace_s=0)
