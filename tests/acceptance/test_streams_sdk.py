"""Streams through every SDK: functions, triggers, and streams that a worker keeps itself."""

from __future__ import annotations

import uuid
from typing import Any

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import every_sdk, sdks_where
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.stream_follower import StreamFollower
from tests.acceptance.test_calls import call_through
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

FIRST = {"id": "a", "text": "Grüße", "list": [None, 1.5]}


@every_sdk
def test_stream_functions_answer_to_the_letter_and_followers_see_it(
    worker: WorkerProcess, driver: RawWorker, fleet: Fleet
) -> None:
    stream = f"stream-{uuid.uuid4()}"

    def call(name: str, **data: Any) -> Any:
        payload = {"stream_name": stream, **data}
        outcome = call_through(driver, worker, function_id=f"stream::{name}", data=payload)
        assert "error" not in outcome, outcome
        return outcome.get("result")

    with StreamFollower(fleet.engine.stream_url) as follower:
        assert follower.join(stream, "g") == []
        at = {"group_id": "g", "item_id": "a"}
        assert call("get", **at) is None
        assert call("list", group_id="g") == []
        assert call("set", **at, data=FIRST) == {"old_value": None, "new_value": FIRST}
        assert call("set", **at, data={"n": 1}) == {"old_value": FIRST, "new_value": {"n": 1}}
        assert call("get", **at) == {"n": 1}
        ops = [{"type": "increment", "path": "n", "by": 2}]
        assert call("update", **at, ops=ops) == {"old_value": {"n": 1}, "new_value": {"n": 3}}
        call("set", group_id="h", item_id="b", data=1)
        assert sorted(call("list_groups")) == ["g", "h"]
        assert call("list", group_id="g") == [{"n": 3}]
        assert call("send", group_id="g", type="ping", data={"x": 1}) is None
        assert call("delete", **at) == {"old_value": {"n": 3}}
        assert call("delete", **at) == {"old_value": None}
        assert call("list_groups") == ["h"]

        wait_until(lambda: len(follower.events()) == 5, "all events have come")
        assert follower.events() == [
            {"type": "create", "data": FIRST},
            {"type": "update", "data": {"n": 1}},
            {"type": "update", "data": {"n": 3}},
            {"type": "event", "event": {"type": "ping", "data": {"x": 1}}},
            {"type": "delete", "data": {"n": 3}},
        ]
        numbers = [envelope["seq"] for envelope in follower.envelopes]
        assert numbers == sorted(numbers)


@every_sdk
def test_a_worker_binds_a_function_to_changes_of_a_stream(
    worker: WorkerProcess, driver: RawWorker, fleet: Fleet
) -> None:
    stream, heard = f"stream-{uuid.uuid4()}", f"driver::{uuid.uuid4()}"
    envelopes: list[Any] = []
    driver.serve(heard, envelopes.append)
    config = {"stream_name": stream, "group_id": "g"}
    driver.call(
        worker.named("bind"), {"trigger_type": "stream", "function_id": heard, "config": config}
    )
    with fleet.connect() as other:
        wait_until(
            lambda: any(
                each["function_id"] == heard
                for each in other.call("engine::registered-triggers::list")["registered_triggers"]
            ),
            "the trigger is bound",
        )
        place = {"stream_name": stream, "group_id": "g", "item_id": "a"}
        other.call("stream::set", {**place, "data": 1})
        other.call("stream::set", {**place, "group_id": "not this", "data": 1})
        other.call("stream::set", {**place, "data": 2})
        other.call("stream::delete", place)

    wait_until(lambda: len(envelopes) == 3, "three events have come")
    assert [(each["event"]["type"], each["event"]["data"]) for each in envelopes] == [
        ("create", 1),
        ("update", 2),
        ("delete", 2),
    ]
    assert {
        (each["type"], each["streamName"], each["groupId"], each["id"]) for each in envelopes
    } == {("stream", stream, "g", "a")}
    driver.call(worker.named("unbind"), {"function_id": heard})


@sdks_where(lambda sdk: sdk.has_own_streams)
def test_a_worker_keeps_the_items_of_a_stream_itself(
    worker: WorkerProcess, driver: RawWorker, fleet: Fleet
) -> None:
    stream, kept = f"stream-{uuid.uuid4()}", {"n": 1, "kept_by": worker.service}
    driver.call(worker.named("own_stream"), {"name": stream})
    group = {"stream_name": stream, "group_id": f"group-{uuid.uuid4()}"}
    at = {**group, "item_id": "a"}
    wait_until(lambda: is_listed(driver, f"stream::list_groups({stream})"), "the worker has it")

    with StreamFollower(fleet.engine.stream_url) as follower:
        assert follower.join(stream, group["group_id"]) == []
        set_data = {**at, "data": {"n": 1}}
        assert driver.call("stream::set", set_data) == {"old_value": None, "new_value": kept}
        assert driver.call("stream::set", set_data) == {"old_value": kept, "new_value": kept}
        assert driver.call("stream::get", at) == kept
        assert driver.call("stream::list", group) == [kept]
        assert group["group_id"] in driver.call("stream::list_groups", {"stream_name": stream})
        with StreamFollower(fleet.engine.stream_url) as late:
            assert late.join(stream, group["group_id"]) == [kept]
        assert driver.call("stream::delete", at) == {"old_value": kept}

        wait_until(lambda: len(follower.events()) == 3, "three events have come")
        assert [event["type"] for event in follower.events()] == ["create", "update", "delete"]


def is_listed(driver: RawWorker, function_id: str) -> bool:
    """Tell whether a function is registered."""
    functions = driver.call("engine::functions::list")["functions"]
    return any(function["function_id"] == function_id for function in functions)
