"""The workloads on the state: every answer of a change is a committed one."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.bench.bench import SMALL, Bench, rates
from tests.bench.jobs import CallResult, Operation, StoreJob
from tests.bench.processes import BenchFailed, Subject
from tests.services import find_postgres, running_postgres

_KEYS: Final = 10_000

# Operation, calls in flight, and the rate to reach in R on SQLite and on PostgreSQL.
_WORKLOADS: Final[tuple[tuple[Operation, int, float, float], ...]] = (
    ("set", 64, 0.5, 0.2),
    ("set", 512, 1.0, 0.5),
    ("get", 64, 1.5, 0.4),
    ("update", 64, 0.8, 0.25),
)
_TITLES: Final[dict[Operation, str]] = {
    "set": "state::set",
    "get": "state::get",
    "update": "state::update of one key",
}


def state(bench: Bench) -> None:
    """Measure set, get and a hot key on the embedded SQLite."""
    with bench.subjects() as (router, engine):
        _measure(bench, router, engine, "SQLite")


def state_postgres(bench: Bench) -> None:
    """Measure the same on a PostgreSQL that flushes every commit, on the same processors."""
    binaries = find_postgres()
    if binaries is None:
        raise BenchFailed("PostgreSQL is not installed: apt-get install postgresql")
    with (
        running_postgres(binaries, is_durable=True) as url,
        bench.processes.bare_router() as router,
        bench.processes.engine(database_url=url) as engine,
    ):
        _measure(bench, router, engine, "PostgreSQL")


def _measure(bench: Bench, router: Subject, engine: Subject, database: str) -> None:
    for operation, depth, on_sqlite, on_postgres in _WORKLOADS:
        workload = f"{_TITLES[operation]}, {database}, depth {depth}"
        bench.say(f" {workload}")
        results = bench.interleave(
            {
                "bare": partial(bench.base, router),
                "engine": partial(_call, bench, engine, operation, depth),
            }
        )
        bench.report.figure(workload, "engine", results["engine"], engine.memory())
        bench.report.ratio(
            workload,
            "calls/s ÷ R",
            rates(results["engine"]),
            rates(results["bare"]),
            target=on_sqlite if database == "SQLite" else on_postgres,
            at_least=True,
            unit="R",
        )


def _call(bench: Bench, engine: Subject, operation: Operation, depth: int) -> CallResult:
    job = StoreJob(
        port=engine.port,
        pid=engine.pid,
        depth=depth,
        operation=operation,
        payload=SMALL,
        keys=_KEYS,
        seconds=bench.seconds,
    )
    return bench.processes.run(job, CallResult)
