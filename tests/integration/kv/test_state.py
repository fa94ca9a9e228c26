"""The state module's functions and triggers, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.store_engine import Setting, StoreWorker

AT: dict[str, Any] = {"scope": "s", "key": "k"}


async def test_set_on_a_new_key_answers_null_and_the_new_value(worker: StoreWorker) -> None:
    answer = await worker.answer("state::set", {**AT, "value": {"n": 1}})
    assert answer == {"result": {"old_value": None, "new_value": {"n": 1}}}


async def test_get_of_a_missing_key_has_neither_result_nor_error(worker: StoreWorker) -> None:
    assert await worker.answer("state::get", AT) == {}


async def test_a_stored_null_is_a_result(worker: StoreWorker) -> None:
    await worker.result("state::set", {**AT, "value": None})
    assert await worker.answer("state::get", AT) == {"result": None}
    answer = await worker.result("state::set", {**AT, "value": 1})
    assert answer == {"old_value": None, "new_value": 1}


async def test_delete_answers_the_bare_old_value(worker: StoreWorker) -> None:
    await worker.result("state::set", {**AT, "value": [1]})
    assert await worker.answer("state::delete", AT) == {"result": [1]}
    assert await worker.answer("state::delete", AT) == {}


async def test_list_answers_the_values_of_one_scope(worker: StoreWorker) -> None:
    for scope, key, value in (("s", "b", 1), ("s", "a", 2), ("other", "c", 3)):
        await worker.result("state::set", {"scope": scope, "key": key, "value": value})
    assert await worker.result("state::list", {"scope": "s"}) == [1, 2]
    assert await worker.result("state::list", {"scope": "none"}) == []


async def test_list_groups_answers_sorted_scopes_with_entries(worker: StoreWorker) -> None:
    for scope in ("b", "a", "Ä", "gone"):
        await worker.result("state::set", {"scope": scope, "key": "k", "value": 1})
    await worker.result("state::delete", {"scope": "gone", "key": "k"})
    nothing: list[Any] = [{}, None, []]
    for payload in nothing:
        assert await worker.result("state::list_groups", payload) == {"groups": ["a", "b", "Ä"]}


async def test_data_is_a_spelling_of_value(worker: StoreWorker) -> None:
    await worker.result("state::set", {**AT, "data": 1})
    assert await worker.result("state::get", AT) == 1


@pytest.mark.parametrize("name", ["set", "get", "delete", "update", "list", "list_groups"])
async def test_dotted_spellings_work_and_are_not_listed(worker: StoreWorker, name: str) -> None:
    payload = {**AT, "value": 1, "ops": []}
    answer = await worker.answer(f"state.{name}", payload)
    assert "error" not in answer
    listed = await worker.result("engine::functions::list", {"include_internal": True})
    ids = {each["function_id"] for each in listed["functions"]}
    assert f"state::{name}" in ids
    assert f"state.{name}" not in ids


async def test_the_first_generations_arguments_are_understood(worker: StoreWorker) -> None:
    place = {"group_id": "s", "item_id": "k"}
    await worker.result("state.set", {**place, "data": 1})
    assert await worker.result("state.get", place) == 1
    assert await worker.result("state.list", {"group_id": "s"}) == [1]
    assert await worker.result("state::get", AT) == 1


async def test_a_positional_array_is_read_in_the_order_of_the_members(worker: StoreWorker) -> None:
    await worker.result("state::set", {**AT, "value": 1})
    assert await worker.result("state::get", ["s", "k"]) == 1


@pytest.mark.parametrize(
    ("function", "payload", "problem"),
    [
        ("state::set", AT, "missing required field `value`"),
        ("state::set", {**AT, "value": 1, "data": 2}, "duplicate field `value`"),
        ("state::get", {"scope": "s"}, "missing required field `key`"),
        ("state::get", None, "missing required field `scope`"),
        ("state::get", {**AT, "scope": 5}, "$.scope"),
        ("state::get", {**AT, "scope": "a\0b"}, "`scope` must not hold the NUL character"),
        ("state::get", {**AT, "key": "x" * 1025}, "`key` is longer than 1024 bytes"),
        ("state::get", {**AT, "key": "ä" * 513}, "`key` is longer than 1024 bytes"),
        ("state::set", {**AT, "value": 1, "ttl_ms": 0}, "`ttl_ms` must be a positive"),
        ("state::set", {**AT, "value": 1, "if_version": -1}, "`if_version` must not be negative"),
        ("state::update", AT, "missing required field `ops`"),
        ("state::update", {**AT, "ops": [{"type": "jump"}]}, "ops[0]"),
        ("state::update", {**AT, "ops": [{"type": "increment", "path": "n", "by": 1.5}]}, "by"),
        ("state::list", {}, "missing required field `scope`"),
        ("state::list", {"scope": "s", "limit": 0}, "`limit` must be from 1 to 10000"),
        ("state::list", {"scope": "s", "cursor": "x"}, "`cursor` is not one"),
    ],
)
async def test_a_payload_that_cannot_be_meant_is_refused_by_name(
    worker: StoreWorker, function: str, payload: Any, problem: str
) -> None:
    code, message = await worker.code(function, payload)
    assert code == "deserialization_error"
    assert message.startswith(f"{function}: ")
    assert problem in message
    assert await worker.result("state::list_groups", {}) == {"groups": []}


async def test_more_members_than_needed_are_ignored(worker: StoreWorker) -> None:
    await worker.result("state::set", {**AT, "value": 1, "_caller_worker_id": "w", "more": []})
    assert await worker.result("state::get", {**AT, "_caller_worker_id": "w"}) == 1


async def test_updates_are_applied_in_their_order(worker: StoreWorker) -> None:
    ops = [
        {"type": "set", "path": "a.b", "value": 1},
        {"type": "merge", "path": "", "value": {"c": 2, "d": 3}},
        {"type": "remove", "path": "c"},
        {"type": "increment", "path": "d", "by": 4},
    ]
    assert await worker.result("state::update", {**AT, "ops": ops}) == {
        "old_value": None,
        "new_value": {"a.b": 1, "d": 7},
    }


async def test_the_errors_of_operations_are_told_and_the_rest_is_done(worker: StoreWorker) -> None:
    await worker.result("state::set", {**AT, "value": {"t": "x"}})
    ops = [
        {"type": "increment", "path": "t", "by": 1},
        {"type": "set", "path": "u", "value": 1},
    ]
    answer = await worker.result("state::update", {**AT, "ops": ops})
    (error,) = answer.pop("errors")
    assert (error["op_index"], error["code"]) == (0, "increment.not_number")
    assert answer == {"old_value": {"t": "x"}, "new_value": {"t": "x", "u": 1}}


async def test_parallel_increments_add_up(worker: StoreWorker) -> None:
    ops = [{"type": "increment", "path": "n", "by": 1}]
    for _ in range(50):
        worker.void("state::update", {**AT, "ops": ops})
    assert await worker.result("state::get", AT) == {"n": 50}


async def test_values_come_back_byte_for_byte(worker: StoreWorker) -> None:
    text = b'{"b":1.00,"a":1e2,"big":123456789012345678901234567890,"s":"\\u00e9\\u0000"}'
    worker.raw(
        b'{"type":"invokefunction","function_id":"state::set","action":{"type":"void"},'
        b'"data":{"scope":"s","key":"k","value":' + text + b"}}"
    )
    worker.invoke("state::get", AT)
    async with asyncio.timeout(10):
        while not worker.outbox.frames:
            await asyncio.sleep(0.001)
    assert b'"result":' + text in worker.outbox.frames[0]


async def test_versions_are_told_on_request_and_guard_changes(worker: StoreWorker) -> None:
    read = {**AT, "with_version": True}
    assert await worker.result("state::get", read) == {"value": None, "version": 0}
    created = await worker.result("state::set", {**AT, "value": 1, "if_version": 0})
    version = created.pop("version")
    assert created == {"old_value": None, "new_value": 1}
    assert await worker.result("state::get", read) == {"value": 1, "version": version}

    for function, more in (
        ("state::set", {"value": 2}),
        ("state::update", {"ops": []}),
        ("state::delete", {}),
    ):
        code, message = await worker.code(function, {**AT, **more, "if_version": 0})
        assert code == "version_conflict"
        conflict = json.loads(message)
        assert (conflict["expected"], conflict["actual"]) == (0, version)

    deleted = await worker.result("state::delete", {**AT, "if_version": version})
    assert deleted == {"old_value": 1, "version": version}


async def test_pages_carry_keys_and_a_cursor(worker: StoreWorker) -> None:
    for number in range(5):
        await worker.result("state::set", {"scope": "s", "key": f"k{number}", "value": number})
    page = {"scope": "s", "limit": 3}
    first = await worker.result("state::list", page)
    assert first["items"] == [{"key": f"k{number}", "value": number} for number in range(3)]
    second = await worker.result("state::list", {**page, "cursor": first["cursor"]})
    assert second == {
        "items": [{"key": "k3", "value": 3}, {"key": "k4", "value": 4}],
        "cursor": None,
    }
    found = await worker.result("state::list", {"scope": "s", "prefix": "k4"})
    assert found == {"items": [{"key": "k4", "value": 4}], "cursor": None}


async def test_an_entry_expires_and_the_deletion_is_told(worker: StoreWorker) -> None:
    worker.function("heard")
    worker.trigger("t", "state", "heard", config={"scope": "s"})
    await worker.result("state::set", {**AT, "value": 1, "ttl_ms": 30})
    created, deleted = await worker.events(2)
    assert created["data"]["event_type"] == "state:created"
    assert deleted["data"] == {
        "type": "state",
        "event_type": "state:deleted",
        "scope": "s",
        "key": "k",
        "old_value": 1,
        "new_value": None,
    }
    assert await worker.answer("state::get", AT) == {}


async def test_a_trigger_hears_of_its_scope_and_key_only(worker: StoreWorker) -> None:
    worker.function("heard")
    worker.trigger("t", "state", "heard", config=AT)
    await worker.result("state::set", {"scope": "s", "key": "other", "value": 0})
    await worker.result("state::set", {"scope": "other", "key": "k", "value": 0})
    await worker.result("state::set", {**AT, "value": 1})
    await worker.result("state::set", {**AT, "value": 1})
    await worker.result("state::delete", AT)
    events = [each["data"] for each in await worker.events(3)]
    assert [(e["event_type"], e["old_value"], e["new_value"]) for e in events] == [
        ("state:created", None, 1),
        ("state:updated", 1, 1),
        ("state:deleted", 1, None),
    ]


@pytest.mark.parametrize("config", [{}, None, {"scope": "s"}, {"key": "k"}])
async def test_an_absent_filter_matches_everything(worker: StoreWorker, config: Any) -> None:
    worker.function("heard")
    worker.trigger("t", "state", "heard", config=config)
    await worker.result("state::set", {**AT, "value": 1})
    (event,) = await worker.events(1)
    assert event["data"]["scope"] == "s"


async def test_deleting_what_is_not_there_is_no_event(worker: StoreWorker) -> None:
    worker.function("heard")
    worker.trigger("t", "state", "heard")
    await worker.result("state::delete", AT)
    await worker.result("state::set", {**AT, "value": 1})
    (event,) = await worker.events(1)
    assert event["data"]["event_type"] == "state:created"


@pytest.mark.parametrize(
    ("answer", "is_called"), [(False, False), (True, True), (0, True), (None, True)]
)
@pytest.mark.parametrize("member", ["condition_function_id", "_condition_path"])
async def test_only_false_blocks_a_handler(
    worker: StoreWorker, member: str, answer: Any, is_called: bool
) -> None:
    worker.function("heard")
    worker.function("asked")
    worker.trigger("t", "state", "heard", config={member: "asked"})
    await worker.result("state::set", {**AT, "value": 1})
    (question,) = await worker.events(1)
    assert question["function_id"] == "asked"
    worker.reply(question, answer)
    await worker.result("state::set", {"scope": "other", "key": "k", "value": 2})
    following = {each["function_id"] for each in await worker.events(1 + is_called)}
    assert following == ({"heard", "asked"} if is_called else {"asked"})


async def test_a_condition_keeps_the_order_of_one_keys_changes(worker: StoreWorker) -> None:
    worker.function("heard")
    worker.function("asked")
    worker.trigger("t", "state", "heard", config={"condition_function_id": "asked"})
    for value in (1, 2, 3):
        await worker.result("state::set", {**AT, "value": value})
    heard: list[int] = []
    while len(heard) < 3:
        (call,) = await worker.events(1)
        if call["function_id"] == "asked":
            assert call["data"]["new_value"] == len(heard) + 1, "asked one by one"
            worker.reply(call, True)
        else:
            heard.append(call["data"]["new_value"])
    assert heard == [1, 2, 3]


async def test_a_failing_handler_does_not_fail_the_writer(
    worker: StoreWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.function("heard")
    worker.trigger("t", "state", "heard")
    await worker.result("state::set", {**AT, "value": 1})
    (event,) = await worker.events(1)
    worker.error(event, {"code": "handler_error", "message": "on purpose"})
    assert await worker.result("state::get", AT) == 1
    assert "on purpose" in caplog.text


async def test_a_bad_trigger_config_is_refused(worker: StoreWorker) -> None:
    worker.trigger("t", "state", "heard", config={"scope": 5})
    await asyncio.sleep(0)
    frames = worker.take()
    assert [each["type"] for each in frames] == ["triggerregistrationresult"]
    assert "scope" in frames[0]["error"]["message"]


async def test_an_unregistered_trigger_is_silent(worker: StoreWorker) -> None:
    worker.function("heard")
    worker.trigger("t", "state", "heard")
    worker.trigger("u", "state", "heard", config={"key": "k"})
    worker.send("unregistertrigger", id="t")
    await worker.result("state::set", {**AT, "value": 1})
    await worker.result("state::set", {"scope": "s", "key": "x", "value": 1})
    await worker.result("state::delete", AT)
    assert [each["data"]["event_type"] for each in await worker.events(2)] == [
        "state:created",
        "state:deleted",
    ]


class TestLimits:
    @pytest.fixture
    def state_options(self) -> dict[str, Any]:
        return {"max_value_bytes": 20, "triggers_enabled": False}

    async def test_a_value_that_is_too_large_is_refused(self, worker: StoreWorker) -> None:
        code, message = await worker.code("state::set", {**AT, "value": "x" * 20})
        assert (code, "max_value_bytes allows 20" in message) == ("VALUE_TOO_LARGE", True)
        ops = [{"type": "set", "path": "", "value": "x" * 20}]
        code, _ = await worker.code("state::update", {**AT, "ops": ops})
        assert code == "VALUE_TOO_LARGE"
        assert await worker.answer("state::get", AT) == {}

    async def test_disabled_triggers_do_not_fire(
        self, worker: StoreWorker, setting: Setting
    ) -> None:
        worker.function("heard")
        worker.trigger("t", "state", "heard")
        await worker.result("state::set", {**AT, "value": 1})
        assert worker.handled == []
        assert setting.engine.triggers.find_type("state", "default") is not None
