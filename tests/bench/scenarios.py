"""The workloads on the worker port, each with the targets that it has to reach.

R is the bare router's rate with 64 calls of 100 bytes in flight, F its processor time for such a
call, both measured in the same rounds as what is compared with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.bench.bench import BASE_DEPTH, SMALL, Bench, cpu_times, rates
from tests.bench.cron_scenarios import CRON_SCENARIOS
from tests.bench.http_scenarios import http, http_routes
from tests.bench.jobs import CallResult, FleetJob, FleetResult
from tests.bench.payloads import Payload
from tests.bench.processes import Subject
from tests.bench.queue_scenarios import QUEUE_SCENARIOS
from tests.bench.realtime_scenarios import (
    channel,
    http_bodies,
    publish,
    streams,
    streams_idle,
    streams_mixed,
)
from tests.bench.store_scenarios import (
    calls_beside_sets,
    state,
    state_million,
    state_postgres,
)

_ORDERS: Final = {"type first": False, "type last": True}
_FLEET_WORKERS: Final = 1000
_FLEET_FUNCTIONS: Final = 10
_MANY_CALLS: Final = 1_000_000
_MANY_CALLS_DEPTH: Final = 512
_MANY_CALLS_ROUNDS: Final = 5
# Calls after which caches and allocator of the engine have settled.
_SETTLING_CALLS: Final = 20_000
_IDLE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A part of the benchmark that can be run alone."""

    name: str
    title: str
    run: Callable[[Bench], None]


def depth_1(bench: Bench) -> None:
    """Measure one call at a time: latency."""
    with bench.subjects() as (router, engine):
        results = _both_orders(bench, router, engine, 1, SMALL)
        bench.report.figure("call, depth 1", "bare router", results["bare"], router.memory())
        for order in _ORDERS:
            workload = f"call, depth 1, {order}"
            bench.report.figure(workload, "engine", results[order], engine.memory())
            bench.report.ratio(
                workload,
                "p50 ÷ bare router's",
                [result.p50_us for result in results[order]],
                [result.p50_us for result in results["bare"]],
                target=1.2,
                at_least=False,
                unit="x",
            )


def depth_64(bench: Bench) -> None:
    """Measure 64 calls in flight: rate and processor time."""
    with bench.subjects() as (router, engine):
        results = _both_orders(bench, router, engine, BASE_DEPTH, SMALL)
        bare = results["bare"]
        bench.report.figure("call, depth 64, 100 B", "bare router", bare, router.memory())
        for order in _ORDERS:
            workload, ours = f"call, depth 64, 100 B, {order}", results[order]
            bench.report.figure(workload, "engine", ours, engine.memory())
            bench.report.ratio(
                workload,
                "calls/s ÷ R",
                rates(ours),
                rates(bare),
                target=0.85,
                at_least=True,
                unit="R",
            )
            bench.report.ratio(
                workload,
                "CPU µs ÷ F",
                cpu_times(ours),
                cpu_times(bare),
                target=1.3,
                at_least=False,
                unit="F",
            )


def many_calls(bench: Bench) -> None:
    """Measure a million calls, 512 in flight: rate, lost answers, growth of memory."""
    rounds = 1 if bench.is_quick else _MANY_CALLS_ROUNDS
    calls = _MANY_CALLS // (20 if bench.is_quick else rounds)
    workload = f"call, depth 512, {calls * rounds:,} calls"
    with bench.subjects() as (router, engine):
        bench.call(engine, _MANY_CALLS_DEPTH, SMALL, calls=_SETTLING_CALLS)
        before = engine.memory()
        many = partial(bench.call, engine, _MANY_CALLS_DEPTH, SMALL, calls=calls)
        results = bench.interleave(
            {"bare": partial(bench.base, router), "engine": many}, rounds=rounds
        )
        after = engine.memory()
        base, ours = results["bare"], results["engine"]
        bench.report.figure("call, depth 64, 100 B", "bare router", base, router.memory())
        bench.report.figure(workload, "engine", ours, after)
        bench.report.ratio(
            workload, "calls/s ÷ R", rates(ours), rates(base), target=0.85, at_least=True, unit="R"
        )
        lost = sum(result.lost for result in ours)
        bench.report.limit(workload, "answers lost", [lost], target=0, unit="")
        growth = (after.rss_kib - before.rss_kib) / 1024
        bench.report.limit(workload, "growth of RSS", [growth], target=5, unit="MiB")


def payload(bench: Bench, *, title: str, kind: Payload, target: float) -> None:
    """Measure eight large calls in flight, beside the bare router with the same payload."""
    with bench.subjects() as (router, engine):
        results = _both_orders(bench, router, engine, 8, kind)
        bench.report.figure(
            f"call, depth 8, {title}", "bare router", results["bare"], router.memory()
        )
        for order in _ORDERS:
            workload = f"call, depth 8, {title}, {order}"
            bench.report.figure(workload, "engine", results[order], engine.memory())
            bench.report.ratio(
                workload,
                "calls/s ÷ bare router's",
                rates(results[order]),
                rates(results["bare"]),
                target=target,
                at_least=True,
                unit="x",
            )


def fleet(bench: Bench) -> None:
    """Measure the arrival of many workers and calls across all their functions."""
    workers = _FLEET_WORKERS // (5 if bench.is_quick else 1)
    workload = f"{workers:,} workers with {_FLEET_FUNCTIONS} functions"
    base: list[CallResult] = []
    bare: list[FleetResult] = []
    ours: list[FleetResult] = []
    for number in range(1, bench.rounds + 1):
        # Fresh processes each time: memory that was used once would hide what a worker takes.
        with bench.subjects() as (router, engine):
            bench.say(f"  round {number}: bare, fleet on bare, fleet on engine")
            base.append(bench.base(router))
            bench.call(engine, BASE_DEPTH, SMALL, calls=_SETTLING_CALLS)
            bare.append(_fleet(bench, router, workers))
            ours.append(_fleet(bench, engine, workers))
            router_memory, engine_memory = router.memory(), engine.memory()
    report = bench.report
    report.figure("call, depth 64, 100 B", "bare router", base, router_memory)
    report.figure(workload, "bare router", [result.calls for result in bare], router_memory)
    report.figure(workload, "engine", [result.calls for result in ours], engine_memory)
    arrivals = [result.workers_per_s for result in ours]
    across = rates([result.calls for result in ours])
    report.ratio(
        workload, "workers/s ÷ R", arrivals, rates(base), target=0.04, at_least=True, unit="R"
    )
    report.ratio(workload, "calls/s ÷ R", across, rates(base), target=0.8, at_least=True, unit="R")
    weights = [result.kib_per_worker for result in ours]
    report.limit(workload, "memory of a worker", weights, target=60, unit="KiB")


def idle(bench: Bench) -> None:
    """Measure the memory of an engine that has just started."""
    sizes: list[float] = []
    for _ in range(bench.rounds):
        with bench.processes.engine() as engine:
            time.sleep(_IDLE_S)
            sizes.append(engine.memory().rss_kib / 1024)
    bench.report.limit("idle engine", "RSS", sizes, target=130, unit="MiB")


def _both_orders(
    bench: Bench, router: Subject, engine: Subject, depth: int, kind: Payload
) -> dict[str, list[CallResult]]:
    """Measure one workload on the bare router, and on the engine in both key orders."""
    measurements = {"bare": partial(bench.call, router, depth, kind)}
    for order, type_last in _ORDERS.items():
        measurements[order] = partial(bench.call, engine, depth, kind, type_last=type_last)
    return bench.interleave(measurements)


def _fleet(bench: Bench, subject: Subject, workers: int) -> FleetResult:
    job = FleetJob(
        port=subject.port,
        pid=subject.pid,
        workers=workers,
        functions_per_worker=_FLEET_FUNCTIONS,
        depth=BASE_DEPTH,
        payload=SMALL,
        seconds=bench.seconds,
    )
    return bench.processes.run(job, FleetResult)


def _payload_scenario(name: str, title: str, kind: Payload, target: float) -> Scenario:
    run = partial(payload, title=title, kind=kind, target=target)
    return Scenario(name, f"8 calls in flight, {title}", run)


SCENARIOS: Final = (
    Scenario("idle", "memory of an engine that has just started", idle),
    Scenario("depth-1", "one call at a time", depth_1),
    Scenario("depth-64", "64 calls of 100 bytes in flight", depth_64),
    Scenario("depth-512", "a million calls, 512 in flight: losses and growth", many_calls),
    _payload_scenario("string-1mib", "1 MiB string", Payload("string", 1 << 20), 1.1),
    _payload_scenario("objects-10k", "10 kB of objects", Payload("objects", 10_000), 2.2),
    _payload_scenario("objects-100k", "100 kB of objects", Payload("objects", 100_000), 4),
    _payload_scenario("objects-1m", "1 MB of objects", Payload("objects", 1_000_000), 6),
    Scenario("fleet", "1,000 workers with 10 functions each", fleet),
    Scenario("state", "state on SQLite: set, get and a hot key", state),
    Scenario("state-postgres", "the same on PostgreSQL", state_postgres),
    Scenario("state-million", "a million entries: start, memory, set and get", state_million),
    Scenario("calls-beside-sets", "calls while the state is set", calls_beside_sets),
    Scenario("publish", "messages of a topic to 10 subscribers", publish),
    Scenario("streams", "changes of a group to 1, 100 and 1,000 followers", streams),
    Scenario("streams-mixed", "1,000 followers of 10 of 1,000 groups each", streams_mixed),
    Scenario("streams-idle", "memory of 10,000 idle followers", streams_idle),
    Scenario("channel", "64 KiB frames through a data channel", channel),
    Scenario("bodies", "1 GiB up and down through an HTTP route's worker", http_bodies),
    *(Scenario(name, title, run) for name, title, run in (*QUEUE_SCENARIOS, *CRON_SCENARIOS)),
    Scenario("http", "GET through a worker, 1, 32 and 128 connections", http),
    Scenario("http-routes", "the same with 1,000 and 10,000 routes", http_routes),
)
