"""The workloads on the HTTP port: requests that a worker answers through a trigger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from tests.bench.bench import Bench, rates
from tests.bench.jobs import CallResult, ServeJob, route_url
from tests.bench.processes import Subject
from tests.bench.wrk import await_route, require_wrk, run_wrk

# Requests/s to reach with so many connections, in R.
_TARGETS: Final = {1: 0.08, 32: 0.33, 128: 0.33}
# One route of each shape (with a parameter and without) is what many are compared with.
_FEW_ROUTES: Final = 2
_ROUTES: Final = (1_000, 10_000)
# Routes that are asked in turn, of both shapes: enough to leave no cache with the same one.
_ASKED_ROUTES: Final = 64
_WARMUP_S: Final = 1.0


def http(bench: Bench) -> None:
    """Measure GET requests of one route at several numbers of connections."""
    require_wrk()
    with ExitStack() as stack:
        router, engine = stack.enter_context(bench.subjects())
        paths = stack.enter_context(_serving(bench, engine, 1))
        base: list[CallResult] = []
        for connections, target in _TARGETS.items():
            workload = f"HTTP GET, {_counted(connections, 'connection')}"
            bench.say(f" {workload}")
            results = bench.interleave(
                {
                    "bare": partial(bench.base, router),
                    "engine": partial(_ask, bench, engine, paths, connections),
                }
            )
            base += results["bare"]
            bench.report.figure(workload, "engine", results["engine"], engine.memory())
            bench.report.ratio(
                workload,
                "requests/s ÷ R",
                rates(results["engine"]),
                rates(results["bare"]),
                target=target,
                at_least=True,
                unit="R",
            )
        bench.report.figure("call, depth 64, 100 B", "bare router", base, router.memory())


def http_routes(bench: Bench) -> None:
    """Measure the same with many routes, in turn with an engine that has one of each shape."""
    require_wrk()
    with ExitStack() as stack:
        engines: dict[int, tuple[Subject, list[str]]] = {}
        for routes in (_FEW_ROUTES, *_ROUTES):
            bench.say(f" {_counted(routes, 'route')}")
            engine = stack.enter_context(bench.processes.engine())
            engines[routes] = engine, stack.enter_context(_serving(bench, engine, routes))
        for connections in _TARGETS:
            bench.say(f" {_counted(connections, 'connection')}")
            measurements = {
                _counted(routes, "route"): partial(_ask, bench, engine, paths, connections)
                for routes, (engine, paths) in engines.items()
            }
            results = bench.interleave(measurements)
            _report_routes(bench, connections, engines, results)


def _report_routes(
    bench: Bench,
    connections: int,
    engines: dict[int, tuple[Subject, list[str]]],
    results: dict[str, list[CallResult]],
) -> None:
    few = results[_counted(_FEW_ROUTES, "route")]
    for routes, (engine, _) in engines.items():
        workload = f"HTTP GET, {_counted(connections, 'connection')}, {_counted(routes, 'route')}"
        ours = results[_counted(routes, "route")]
        bench.report.figure(workload, "engine", ours, engine.memory())
        if routes > _FEW_ROUTES:
            bench.report.ratio(
                workload,
                "requests/s ÷ with one route of each shape",
                rates(ours),
                rates(few),
                target=0.9,
                at_least=True,
                unit="x",
            )


@contextmanager
def _serving(bench: Bench, engine: Subject, routes: int) -> Iterator[list[str]]:
    """Run a worker with so many routes, and hand out the paths to ask once all are served."""
    asked = range(0, routes, routes // _ASKED_ROUTES | 1)  # odd steps meet both shapes
    with bench.processes.http_worker(ServeJob(engine.port, routes)):
        await_route(engine.http_port, route_url(routes - 1))
        paths = [route_url(number) for number in asked]
        run_wrk(bench.processes, engine, paths, connections=32, seconds=_WARMUP_S)
        yield paths


def _ask(bench: Bench, engine: Subject, paths: list[str], connections: int) -> CallResult:
    return run_wrk(bench.processes, engine, paths, connections, bench.seconds)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
