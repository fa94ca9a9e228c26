"""What the list and info functions answer to callers of every generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.core.engine import Engine
from tests.fakes import FakeWorker

Connect = Callable[..., FakeWorker]
SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}}
OLD_FORMAT = {"name": "input", "type": "object"}


def ids(answer: dict[str, Any], member: str, key: str = "id") -> list[str]:
    return [each[key] for each in answer["result"][member]]


async def test_a_function_is_listed_with_every_member_of_both_generations(
    connect: Connect,
) -> None:
    worker = connect({"name": "shop", "runtime": "node", "version": "0.22.1"})
    worker.function("orders::get", description="Read one", request_format=SCHEMA)

    answer = worker.call("engine::functions::list")

    assert answer["result"]["functions"] == [
        {
            "function_id": "orders::get",
            "namespace": "default",
            "worker_name": "shop",
            "description": "Read one",
            "request_format": SCHEMA,
            "response_format": None,
            "metadata": None,
        }
    ]


@pytest.mark.parametrize("data", [None, {}, [], {"unknown": 1}])
async def test_lists_need_no_input(connect: Connect, data: Any) -> None:
    worker = connect()
    worker.function("f")

    assert ids(worker.call("engine::functions::list", data), "functions", "function_id") == ["f"]


async def test_internal_functions_and_aliases_are_listed_only_if_asked_for(
    connect: Connect,
) -> None:
    worker = connect()
    worker.function("hidden", metadata={"internal": True})

    def listed(**wanted: bool) -> set[str]:
        answer = worker.call("engine::functions::list", wanted)
        return set(ids(answer, "functions", "function_id"))

    assert listed() == set()
    assert {"hidden", "engine::functions::list"} <= listed(include_internal=True)
    assert "engine.functions.list" not in listed(include_internal=True)
    assert "engine.functions.list" in listed(include_internal=True, include_aliases=True)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"prefix": "a::"}, ["a::one", "a::two"]),
        ({"search": "TWO"}, ["a::two"]),
        ({"worker": "b"}, ["b::three"]),
        ({"workers": ["a"]}, ["a::one", "a::two"]),
    ],
)
async def test_functions_are_narrowed(
    connect: Connect, wanted: dict[str, Any], found: list[str]
) -> None:
    first, second = connect({"name": "a"}), connect({"name": "b"})
    first.function("a::one")
    first.function("a::two")
    second.function("b::three")

    answer = first.call("engine::functions::list", wanted)

    assert ids(answer, "functions", "function_id") == found


@pytest.mark.parametrize(
    ("version", "format_read"),
    [("0.9.0", None), ("0.10.0", SCHEMA), ("0.25.0", SCHEMA)],
)
async def test_python_below_0_10_gets_no_json_schema(
    connect: Connect, version: str, format_read: Any
) -> None:
    worker = connect({"runtime": "python", "version": version, "name": "w"})
    worker.function("f", request_format=SCHEMA, response_format=OLD_FORMAT)

    entry = worker.call("engine::functions::list")["result"]["functions"][0]

    assert entry["request_format"] == format_read
    assert entry["response_format"] == OLD_FORMAT


async def test_one_function_is_described(connect: Connect) -> None:
    worker = connect({"name": "shop"})
    worker.function("orders::get", request_format=SCHEMA)
    worker.trigger("t", "http", "orders::get", config={"api_path": "x"})

    info = worker.call("engine::functions::info", {"function_id": "orders::get"})["result"]

    assert info == {
        "function_id": "orders::get",
        "namespace": "default",
        "worker_name": "shop",
        "request_schema": SCHEMA,
        "owner_count": 1,
        "registered_triggers": [{"id": "t", "trigger_type": "http", "config": {"api_path": "x"}}],
    }


async def test_several_functions_are_described_at_once(connect: Connect) -> None:
    worker = connect()
    worker.function("f")

    answer = worker.call("engine::functions::info", {"function_ids": ["f", "no"]})

    first, second = answer["result"]["functions"]
    assert first["function_id"] == "f"
    assert second == {"function_id": "no", "error": "not_found"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"function_id": "no"}, "NOT_FOUND"),
        ({}, "INVALID_ARGUMENTS"),
        ({"function_id": "a", "function_ids": ["b"]}, "INVALID_ARGUMENTS"),
        ({"function_ids": ["x"] * 33}, "INVALID_ARGUMENTS"),
        ({"function_id": 5}, "deserialization_error"),
        ("text", "deserialization_error"),
    ],
)
async def test_bad_questions_get_their_code(connect: Connect, data: Any, code: str) -> None:
    assert connect().call("engine::functions::info", data)["error"]["code"] == code


async def test_a_bad_payload_names_function_and_member(connect: Connect) -> None:
    error = connect().call("engine::triggers::info", {})["error"]

    assert error["code"] == "deserialization_error"
    assert "engine::triggers::info" in error["message"]
    assert "`id`" in error["message"]


async def test_a_worker_is_listed_with_what_every_sdk_requires(
    connect: Connect, engine: Engine
) -> None:
    info = {"name": "shop", "runtime": "python", "version": "0.4.1", "os": "Linux", "pid": 7}
    worker = connect(info)
    worker.function("f")

    answer = worker.call("engine::workers::list")["result"]

    assert isinstance(answer["timestamp"], int)
    assert answer["workers"] == [
        {
            "id": worker.session.worker_id,
            "name": "shop",
            "description": None,
            "version": "0.4.1",
            "namespace": "default",
            "runtime": "python",
            "os": "Linux",
            "pid": 7,
            "isolation": None,
            "ip_address": "127.0.0.1",
            "status": "available",
            "connected_at_ms": worker.session.connected_at_ms,
            "function_count": 1,
            "functions": ["f"],
            "active_invocations": 0,
            "internal": False,
            "latest_metrics": None,
        }
    ]


async def test_silent_connections_are_not_listed(connect: Connect) -> None:
    connect()
    worker = connect()

    listed = worker.call("engine::workers::list")["result"]["workers"]

    assert [each["id"] for each in listed] == [worker.session.worker_id]


async def test_modules_are_listed_as_workers_only_if_asked_for(connect: Connect) -> None:
    worker = connect({"name": "w"})

    assert ids(worker.call("engine::workers::list"), "workers", "name") == ["w"]
    everything = worker.call("engine::workers::list", {"include_internal": True})
    assert ids(everything, "workers", "name") == ["w", "iii-worker-manager"]


async def test_workers_are_narrowed_and_described(connect: Connect) -> None:
    first = connect({"name": "a", "runtime": "node"})
    connect({"name": "b", "runtime": "python"})
    first.function("f")
    first.trigger("t", "http", "f")
    first.send("registertriggertype", id="webhook", description="hooks")

    assert ids(first.call("engine::workers::list", {"runtime": "python"}), "workers", "name") == [
        "b"
    ]
    info = first.call("engine::workers::info", {"name": "a"})["result"]
    assert info["worker"]["name"] == "a"
    assert [each["function_id"] for each in info["functions"]] == ["f"]
    assert [each["id"] for each in info["trigger_types"]] == ["webhook"]
    assert [each["id"] for each in info["registered_triggers"]] == ["t"]
    assert first.call("engine::workers::info", {"name": "no"})["error"]["code"] == "NOT_FOUND"


async def test_a_long_description_is_cut(connect: Connect) -> None:
    worker = connect({"name": "w", "description": "x" * 500})

    listed = worker.call("engine::workers::list")["result"]["workers"]

    assert listed[0]["description"] == "x" * 280


@pytest.mark.parametrize(
    ("info", "data"),
    [
        ({"name": "w", "version": "0.11.6", "runtime": "node"}, {}),
        ({"name": "w", "version": "0.4.1", "runtime": "python"}, None),
        ({"name": "w", "version": "0.25.0", "runtime": "python"}, {"include_internal": False}),
    ],
)
async def test_old_callers_mean_triggers(connect: Connect, info: Any, data: Any) -> None:
    worker = connect(info)
    worker.trigger("t", "cron", "f", config={"a": 1}, metadata={"m": 1})

    answer = worker.call("engine::triggers::list", data)

    assert answer["result"]["triggers"] == [
        {
            "id": "t",
            "trigger_type": "cron",
            "function_id": "f",
            "config": {"a": 1},
            "metadata": {"m": 1},
        }
    ]


async def test_new_callers_mean_trigger_types(connect: Connect) -> None:
    worker = connect({"name": "w", "version": "0.22.1", "runtime": "node"})
    worker.send("registertriggertype", id="webhook", description="hooks")
    worker.trigger("t", "webhook", "f")
    worker.take()

    answer = worker.call("engine::triggers::list", {})

    assert answer["result"]["triggers"] == [
        {"id": "webhook", "namespace": "default", "worker_name": "w", "description": "hooks"}
    ]


async def test_trigger_types_are_listed_and_described_with_their_formats(
    connect: Connect,
) -> None:
    worker = connect({"name": "w"})
    worker.send(
        "registertriggertype", id="webhook", description="hooks", trigger_request_format=SCHEMA
    )

    listed = worker.call("engine::trigger-types::list")["result"]["trigger_types"]
    info = worker.call("engine::triggers::info", {"id": "webhook"})["result"]

    assert listed == [{"id": "webhook", "description": "hooks", "trigger_request_format": SCHEMA}]
    assert info["configuration_schema"] == SCHEMA
    assert info["instance_count"] == 0
    error = worker.call("engine::triggers::info", {"id": "webhok"})["error"]
    assert error["message"].endswith("did you mean 'webhook'?")


async def test_registered_triggers_are_listed_with_their_state(connect: Connect) -> None:
    worker = connect({"name": "w"})
    worker.trigger("t", "webhook", "f", config={"long": "x" * 100})

    entry = worker.call("engine::registered-triggers::list")["result"]["registered_triggers"][0]

    assert (entry["state"], entry["worker_name"]) == ("pending", "w")
    assert len(entry["config_summary"]) == 80
    narrowed = worker.call("engine::registered-triggers::list", {"trigger_type": "cron"})
    assert narrowed["result"]["registered_triggers"] == []


async def test_one_registered_trigger_is_described(connect: Connect) -> None:
    worker = connect({"name": "w"})
    worker.function("f")
    worker.trigger("t", "engine::workers-available", "f", metadata={"m": 1})
    worker.trigger("u", "unknown", "nope")
    worker.take()

    info = worker.call("engine::registered-triggers::info", {"id": "t"})["result"]
    assert info["metadata"] == {"m": 1}
    assert info["trigger"]["id"] == "engine::workers-available"
    assert info["function"]["function_id"] == "f"
    lonely = worker.call("engine::registered-triggers::info", {"id": "u"})["result"]
    assert (lonely["trigger"], lonely["function"]) == (None, None)
    assert worker.call("engine::registered-triggers::info", {"id": "x"})["error"]["code"] == (
        "NOT_FOUND"
    )


@pytest.mark.parametrize(
    "spelling", ["engine.functions.list", "engine.workers.list", "engine.triggers.list"]
)
async def test_dotted_ids_of_generation_one_work(connect: Connect, spelling: str) -> None:
    answer = connect().call(spelling)

    assert answer["function_id"] == spelling
    assert "result" in answer
