"""Ticks that are claimed: begun at their time, ended once, given back when the engine stops."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.core.engine import Engine
from engine.modules.cron import runner as runner_module
from engine.modules.cron.outcomes import Outcomes
from engine.modules.cron.records import Ended, KnownSchedule, TickState
from engine.modules.cron.runner import Runner
from engine.modules.cron.target import Target, Targets
from kv.clock import now_ms
from tests.fakes import FakeWorker
from tests.unit.engine.modules.cron.scripted import ScriptedStore, schedule, tick

LIMIT_S = 5.0


async def turns() -> None:
    """Let the loop begin what is due."""
    for _ in range(3):
        await asyncio.sleep(0)


class OneFunction(Targets):
    """Every schedule calls what it says, as long as there is a worker."""

    def __init__(self, engine: Engine) -> None:
        self.is_there = True
        self._engine = engine

    def find(self, schedule: KnownSchedule) -> Target | None:
        if not self.is_there:
            return None
        return Target(self._engine, "job", schedule.settings, None, metadata=b'{"m":1}')


class Bench:
    """A runner on a scripted store, and a worker whose functions it calls."""

    def __init__(self, engine: Engine) -> None:
        self.store = ScriptedStore()
        self.outcomes = Outcomes(self.store)
        self.targets = OneFunction(engine)
        self.runner = Runner(self.targets, self.outcomes)
        self.worker = FakeWorker(engine)
        self.worker.function("f")
        self.worker.function("c")

    async def calls(self, count: int) -> list[dict[str, Any]]:
        """Return the next calls of the worker."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(LIMIT_S):
            while len(found) < count:
                found += self.worker.take()
                await asyncio.sleep(0.001)
        assert len(found) == count
        return found

    async def end_of(self, tick_id: int) -> Ended:
        """Return what became of a tick."""
        async with asyncio.timeout(LIMIT_S):
            while tick_id not in self.store.ends:
                await asyncio.sleep(0.001)
        return self.store.ends[tick_id]


@pytest.fixture
async def bench(engine: Engine) -> AsyncIterator[Bench]:
    bench = Bench(engine)
    yield bench
    bench.runner.wind_down()
    await bench.outcomes.flush()


async def test_a_tick_is_called_at_its_time_and_not_before(bench: Bench) -> None:
    due = tick(schedule(), 80)
    bench.runner.take([due])
    (call,) = await bench.calls(1)
    now_ns = time.time_ns()
    assert now_ns // 1_000_000 >= due.run_at
    assert call["data"]["job_id"] == "job"
    assert call["metadata"] == {"m": 1}
    bench.worker.result(call, None)
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.error, ended.trigger_id) == (TickState.DONE, "", "job")
    assert ended.started_at is not None
    assert due.run_at <= ended.started_at <= ended.finished_at
    assert call["traceparent"].split("-")[1] == ended.trace_id


async def test_ticks_are_begun_in_the_order_of_their_times(bench: Bench) -> None:
    due = [tick(schedule(row), in_ms) for row, in_ms in ((1, 60), (2, 20), (3, 40))]
    for each in due:
        bench.runner.take([each])
    times = [call["data"]["scheduled_time"] for call in await bench.calls(3)]
    assert times == sorted(times)


async def test_more_than_one_turn_of_ticks_is_begun(bench: Bench) -> None:
    count = runner_module.RUNS_IN_A_TURN * 2 + 1
    bench.runner.take([tick(schedule(row)) for row in range(1, count + 1)])
    assert len(await bench.calls(count)) == count


async def test_a_clock_that_is_set_back_delays_what_is_claimed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = tick(schedule(), 30)
    bench.runner.take([due])
    real, back_ms = now_ms, 60_000
    asked: list[int] = []

    def set_back() -> int:
        asked.append(1)
        return real() - back_ms

    monkeypatch.setattr(runner_module, "now_ms", set_back)
    async with asyncio.timeout(LIMIT_S):
        while not asked:
            await asyncio.sleep(0.001)
    assert bench.worker.take() == []
    monkeypatch.setattr(runner_module, "now_ms", real)
    assert len(await bench.calls(1)) == 1


@pytest.mark.parametrize(
    ("member", "data"),
    [("schedule", {"x": 1}), ("tick", [2])],
)
async def test_a_payload_of_its_own_replaces_the_times(
    bench: Bench, member: str, data: Any
) -> None:
    text = json.dumps(data).encode()
    of = schedule(payload=text if member == "schedule" else b'{"other":1}')
    bench.runner.take([tick(of, payload=text if member == "tick" else b"")])
    (call,) = await bench.calls(1)
    assert call["data"] == data


async def test_an_error_of_the_function_fails_the_tick(bench: Bench) -> None:
    due = tick(schedule())
    bench.runner.take([due])
    (call,) = await bench.calls(1)
    bench.worker.error(call, {"code": "oops", "message": "no\0t now"})
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.error) == (TickState.FAILED, "oops: no\ufffdt now")


async def test_a_function_that_is_not_there_fails_the_tick_and_no_other(bench: Bench) -> None:
    missing = tick(
        msgspec.structs.replace(
            schedule(1),
            settings=msgspec.structs.replace(schedule(1).settings, function_id="nobody"),
        )
    )
    bench.runner.take([missing, tick(schedule(2))])
    await bench.calls(1)
    ended = await bench.end_of(missing.id)
    assert ended.error == "function_not_found: Function nobody not found"


async def test_a_run_that_cannot_be_made_fails_and_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Target.call

    def broken(target: Target, *arguments: Any) -> None:
        monkeypatch.setattr(Target, "call", call)
        raise RuntimeError("odd")

    monkeypatch.setattr(Target, "call", broken)
    due = tick(schedule(1))
    bench.runner.take([due, tick(schedule(2))])
    await bench.calls(1)
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.error) == (TickState.FAILED, "run_failed: RuntimeError: odd")


async def test_a_run_without_an_answer_fails_after_its_timeout_and_a_late_one_is_dropped(
    bench: Bench,
) -> None:
    due = tick(schedule(timeout_ms=30))
    bench.runner.take([due])
    (call,) = await bench.calls(1)
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.error) == (
        TickState.FAILED,
        "timeout: no result within 30 ms; a later one is dropped",
    )
    bench.worker.result(call, 1)
    assert len(bench.store.ends) == 1


async def test_a_tick_is_skipped_while_a_run_is_under_way(bench: Bench) -> None:
    of = schedule()
    first, second = tick(of), tick(of, 20)
    bench.runner.take([first, second])
    (call,) = await bench.calls(1)
    ended = await bench.end_of(second.id)
    assert (ended.state, ended.reason) == (TickState.SKIPPED, "overlap")
    assert ended.started_at is None
    assert ended.error.startswith("the run of 20")
    bench.worker.result(call, None)
    await bench.end_of(first.id)
    bench.runner.take([tick(of)])
    await bench.calls(1)


async def test_runs_overlap_where_that_is_allowed(bench: Bench) -> None:
    of = schedule(overlap="allow")
    bench.runner.take([tick(of), tick(of), tick(of)])
    assert len(await bench.calls(3)) == 3


async def test_a_tick_that_could_begin_too_late_only_is_missed(bench: Bench) -> None:
    due = tick(schedule(), -5_000, give_up_in_ms=2_000)
    bench.runner.take([due])
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.reason) == (TickState.MISSED, "late")


async def test_a_pause_counts_for_ticks_that_have_not_begun(bench: Bench) -> None:
    of = schedule()
    due, manual = tick(of, 40), tick(of, 41, is_manual=True)
    bench.runner.take([due, manual])
    bench.runner.note(msgspec.structs.replace(of, is_paused=True))
    bench.runner.note(schedule(99))
    (call,) = await bench.calls(1)
    assert call["data"]["manual"] is True
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.reason) == (TickState.SKIPPED, "paused")


async def test_a_tick_whose_worker_has_gone_is_given_back(bench: Bench) -> None:
    bench.targets.is_there = False
    due = tick(schedule())
    bench.runner.take([due])
    async with asyncio.timeout(LIMIT_S):
        while bench.store.released != [due.id]:
            await asyncio.sleep(0.001)


async def test_a_condition_is_asked_with_the_same_payload(bench: Bench) -> None:
    due = tick(schedule(condition_function_id="c"))
    bench.runner.take([due])
    (asked,) = await bench.calls(1)
    assert (asked["function_id"], "metadata" in asked) == ("c", False)
    bench.worker.result(asked, True)
    (call,) = await bench.calls(1)
    assert (call["function_id"], call["data"]) == ("f", asked["data"])


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        ({"result": False}, "condition", ""),
        ({"error": {"code": "oops", "message": "no"}}, "condition_failed", "oops: no"),
    ],
)
async def test_a_condition_skips_its_tick(
    bench: Bench, answer: dict[str, Any], reason: str, error: str
) -> None:
    due = tick(schedule(condition_function_id="c"))
    bench.runner.take([due])
    (asked,) = await bench.calls(1)
    bench.worker.send(
        "invocationresult",
        invocation_id=asked["invocation_id"],
        function_id="c",
        **answer,
    )
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.reason, ended.error) == (TickState.SKIPPED, reason, error)


async def test_a_condition_without_an_answer_skips_its_tick_after_the_timeout(
    bench: Bench,
) -> None:
    due = tick(schedule(condition_function_id="c", timeout_ms=30))
    bench.runner.take([due])
    (asked,) = await bench.calls(1)
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.reason) == (TickState.SKIPPED, "condition_failed")
    bench.worker.result(asked, True)
    assert bench.worker.take() == []


async def test_a_worker_that_leaves_during_a_run_fails_it(bench: Bench) -> None:
    due = tick(schedule())
    bench.runner.take([due])
    await bench.calls(1)
    bench.worker.leave()
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.error) == (
        TickState.FAILED,
        "invocation_stopped: Invocation stopped",
    )


@pytest.mark.parametrize("condition", ["", "c"])
async def test_what_a_worker_has_no_room_for_is_called_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    monkeypatch.setattr(runner_module, "AGAIN_MS", (10, 20))
    bench.worker.outbox.is_full = True
    due = tick(schedule(condition_function_id=condition))
    bench.runner.take([due])
    await turns()
    bench.worker.outbox.is_full = False
    (call,) = await bench.calls(1)
    assert call["function_id"] == (condition or "f")
    assert bench.store.ends == {}


async def test_what_a_worker_has_no_room_for_is_missed_when_it_is_too_late(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "AGAIN_MS", (10, 20))
    bench.worker.outbox.is_full = True
    due = tick(schedule(), give_up_in_ms=50)
    bench.runner.take([due])
    ended = await bench.end_of(due.id)
    assert (ended.state, ended.reason) == (TickState.MISSED, "late")


async def test_what_a_worker_had_no_room_for_is_given_back_at_the_end(bench: Bench) -> None:
    bench.worker.outbox.is_full = True
    due = tick(schedule())
    bench.runner.take([due])
    await turns()
    bench.runner.wind_down()
    await bench.outcomes.flush()
    assert bench.store.released == [due.id]


async def test_a_stopping_engine_begins_nothing_and_gives_back_what_waits(bench: Bench) -> None:
    under_way, waiting = tick(schedule(1)), tick(schedule(2), 10_000)
    bench.runner.take([under_way, waiting])
    (call,) = await bench.calls(1)
    bench.runner.wind_down()
    late = tick(schedule(3))
    bench.runner.take([late])
    bench.worker.result(call, None)
    await bench.outcomes.flush()
    assert bench.store.released == [waiting.id, late.id]
    assert bench.store.ends[under_way.id].state is TickState.DONE
    assert not bench.runner.has_room


@pytest.mark.parametrize(
    ("repeat", "state"), [(False, TickState.INTERRUPTED), (True, None)], ids=["once", "again"]
)
async def test_what_an_engine_stops_in_the_middle_of_is_interrupted_or_left_to_be_repeated(
    bench: Bench, repeat: bool, state: TickState | None
) -> None:
    due = tick(schedule(repeat_interrupted=repeat))
    bench.runner.take([due])
    await bench.calls(1)
    bench.runner.wind_down()
    bench.worker.leave()
    await bench.outcomes.flush()
    ended = bench.store.ends.get(due.id)
    assert (ended and ended.state) == state
