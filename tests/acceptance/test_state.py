"""State and KV through every SDK, with the results to the letter."""

from __future__ import annotations

import uuid
from typing import Any

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import every_sdk
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.test_calls import call_through
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

FIRST = {"b": 1.5, "a": [None, "Grüße"]}


@every_sdk
def test_state_answers_to_the_letter(worker: WorkerProcess, driver: RawWorker) -> None:
    scope = f"scope-{uuid.uuid4()}"

    def call(name: str, **data: Any) -> Any:
        outcome = call_through(driver, worker, function_id=f"state::{name}", data=data)
        assert "error" not in outcome, outcome
        return outcome.get("result")

    at = {"scope": scope, "key": "k"}
    assert call("get", **at) is None
    assert call("set", **at, value=FIRST) == {"old_value": None, "new_value": FIRST}
    assert call("get", **at) == FIRST
    assert call("set", **at, data={"n": 1}) == {"old_value": FIRST, "new_value": {"n": 1}}
    ops = [{"type": "increment", "path": "n", "by": 2}, {"type": "set", "path": "x", "value": "y"}]
    assert call("update", **at, ops=ops) == {
        "old_value": {"n": 1},
        "new_value": {"n": 3, "x": "y"},
    }
    call("set", scope=scope, key="other", value=[])
    assert call("list", scope=scope) == [{"n": 3, "x": "y"}, []]
    assert scope in call("list_groups")["groups"]
    assert call("delete", **at) == {"n": 3, "x": "y"}
    assert call("delete", **at) is None
    call("delete", scope=scope, key="other")
    assert scope not in call("list_groups")["groups"]


@every_sdk
def test_the_kv_server_answers_to_the_letter(worker: WorkerProcess, driver: RawWorker) -> None:
    index = f"index-{uuid.uuid4()}"

    def call(name: str, **data: Any) -> Any:
        outcome = call_through(driver, worker, function_id=f"kv_server::{name}", data=data)
        assert "error" not in outcome, outcome
        return outcome.get("result")

    at = {"index": index, "key": "user:1"}
    assert call("get", **at) is None
    assert call("list", index=index) == []
    assert call("set", **at, value=FIRST) == {"old_value": None, "new_value": FIRST}
    assert call("get", **at) == FIRST
    call("set", index=index, key="user:2", value={})
    call("set", index=index, key="item:1", value=1)
    found = call("list_keys_with_prefix", prefix="user:", index=index)
    assert sorted(found) == ["user:1", "user:2"]
    ops = [{"type": "merge", "path": "", "value": {"c": True}}]
    assert call("update", index=index, key="user:2", ops=ops) == {
        "old_value": {},
        "new_value": {"c": True},
    }
    assert call("list", index=index) == [FIRST, {"c": True}, 1]
    assert call("delete", **at) == {"old_value": FIRST}
    assert call("delete", **at) == {"old_value": None}


@every_sdk
def test_a_worker_binds_a_function_to_changes_of_the_state(
    worker: WorkerProcess, driver: RawWorker, fleet: Fleet
) -> None:
    scope, heard = f"scope-{uuid.uuid4()}", f"driver::{uuid.uuid4()}"
    events: list[Any] = []
    driver.serve(heard, events.append)
    bind = {"trigger_type": "state", "function_id": heard, "config": {"scope": scope, "key": "k"}}
    driver.call(worker.named("bind"), bind)
    with fleet.connect() as other:
        wait_until(
            lambda: any(
                each["function_id"] == heard and each.get("state", "active") == "active"
                for each in other.call("engine::registered-triggers::list")["registered_triggers"]
            ),
            "the trigger is bound",
        )

        other.call("state::set", {"scope": scope, "key": "k", "value": 1})
        other.call("state::set", {"scope": scope, "key": "not this", "value": 1})
        other.call("state::set", {"scope": scope, "key": "k", "value": 2})
        other.call("state::delete", {"scope": scope, "key": "k"})

    wait_until(lambda: len(events) == 3, "three events have come")
    common = {"type": "state", "scope": scope, "key": "k"}
    assert events == [
        {**common, "event_type": "state:created", "old_value": None, "new_value": 1},
        {**common, "event_type": "state:updated", "old_value": 1, "new_value": 2},
        {**common, "event_type": "state:deleted", "old_value": 2, "new_value": None},
    ]
    driver.call(worker.named("unbind"), {"function_id": heard})
