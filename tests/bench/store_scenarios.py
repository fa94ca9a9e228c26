"""The workloads on the state: every answer of a change is a committed one."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.bench import BASE_DEPTH, SMALL, Bench, rates
from tests.bench.filled_database import evict, fill
from tests.bench.jobs import CallResult, MixedJob, MixedResult, Operation, StoreJob
from tests.bench.payloads import Payload
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

_MANY: Final = 1_000_000
_ENTRY: Final = Payload("text", 200)
# What is compared with a small store, and the share of its rate to reach.
_COMPARED: Final[tuple[Operation, ...]] = ("set", "get")
_SHARE: Final = 0.75
_MEMORY_MIB: Final = 250
_START_S: Final = 3
# Every fifth entry of the million: twice as many as the engine's cache of rows holds.
_READ_STRIDE: Final = 5

# Calls in flight that keep the engine at work without a queue of their own in front of it: one
# alone would leave it idle half of the time, and 64 would mostly wait for each other.
_CALLS_DEPTH: Final = 8
# Calls in flight at which sets are fastest: half of that is what the calls have to bear.
_MOST_DEPTH: Final = 512
# Below this share of the pace the engine has not done what the calls are measured beside.
_HELD_PACE: Final = 0.95


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


def state_million(bench: Bench) -> None:
    """Measure a store of a million entries: start, memory, and its rates beside a small one's.

    The keys that are set and read are as many as in the small store, and lie all over the large.
    """
    entries = _MANY // (10 if bench.is_quick else 1)
    with tempfile.TemporaryDirectory(prefix="iii-bench-") as directory:
        data = Path(directory)
        bench.say(f"  filling a database with {entries:,} entries")
        bench.processes.migrate(data)
        fill(data, entries, _ENTRY)
        _measure_start(bench, data, entries)
        with bench.processes.engine() as small, bench.processes.engine(data=data) as large:
            _compare(bench, small, large, entries)
            _read_many(bench, large, entries)


def calls_beside_sets(bench: Bench) -> None:
    """Measure the latency of calls alone, and while sets run at half of what they reach alone."""
    most: list[CallResult] = []
    alone: list[CallResult] = []
    mixed: list[MixedResult] = []
    with bench.processes.engine() as engine:
        for number in range(1, bench.rounds + 1):
            bench.say(f"  round {number}: sets, calls, calls beside sets")
            most.append(_call(bench, engine, "set", _MOST_DEPTH))
            alone.append(bench.call(engine, _CALLS_DEPTH, SMALL))
            mixed.append(_mix(bench, engine, most[-1].calls_per_s / 2))
        memory = engine.memory()
    calls, sets = [result.calls for result in mixed], [result.sets for result in mixed]
    call, beside = f"call, depth {_CALLS_DEPTH}", "beside sets at half their maximum"
    paced = f"{_TITLES['set']}, SQLite, beside calls"
    report = bench.report
    report.figure(f"{_TITLES['set']}, SQLite, depth {_MOST_DEPTH}", "engine", most, memory)
    report.figure(call, "engine", alone, memory)
    report.figure(f"{call}, {beside}", "engine", calls, memory)
    report.figure(paced, "engine", sets, memory)
    report.ratio(
        f"{call}, {beside}",
        "p99 µs ÷ without",
        [result.p99_us for result in calls],
        [result.p99_us for result in alone],
        target=2,
        at_least=False,
        unit="x",
    )
    report.ratio(
        paced,
        "sets/s ÷ half their maximum",
        rates(sets),
        [rate / 2 for rate in rates(most)],
        target=_HELD_PACE,
        at_least=True,
        unit="x",
    )


def _measure_start(bench: Bench, data: Path, entries: int) -> None:
    """Start an engine on a database of which nothing is in memory, and stop it."""
    starts: list[float] = []
    sizes: list[float] = []
    for number in range(1, bench.rounds + 1):
        bench.say(f"  round {number}: start")
        evict(data)
        with bench.processes.engine(data=data) as engine:
            starts.append(engine.start_s)
            sizes.append(engine.memory().rss_kib / 1024)
    workload = f"start with {entries:,} entries"
    bench.report.limit(workload, "until the port answers", starts, target=_START_S, unit="s")
    bench.report.limit(workload, "RSS", sizes, target=_MEMORY_MIB, unit="MiB")


def _compare(bench: Bench, small: Subject, large: Subject, entries: int) -> None:
    """Set and read as many keys of a large store as a small one has, in turn."""
    stores = {f"{_KEYS:,} entries": (small, 1), f"{entries:,} entries": (large, entries // _KEYS)}
    for operation in _COMPARED:
        title = f"{_TITLES[operation]}, depth {BASE_DEPTH}"
        bench.say(f" {title}")
        results = bench.interleave(
            {
                name: partial(
                    _call, bench, store, operation, BASE_DEPTH, payload=_ENTRY, stride=stride
                )
                for name, (store, stride) in stores.items()
            }
        )
        for name, (store, _) in stores.items():
            bench.report.figure(f"{title}, {name}", "engine", results[name], store.memory())
        few, many = stores
        bench.report.ratio(
            f"{title}, {many}",
            f"calls/s ÷ with {few}",
            rates(results[many]),
            rates(results[few]),
            target=_SHARE,
            at_least=True,
            unit="x",
        )
        _limit_memory(bench, f"{title}, {many}", large)


def _read_many(bench: Bench, engine: Subject, entries: int) -> None:
    """Read more entries than the engine's cache holds, each once: its memory is full then."""
    keys = entries // _READ_STRIDE
    workload = f"{_TITLES['get']}, depth {BASE_DEPTH}, {keys:,} of {entries:,} entries once"
    bench.say(f" {workload}")
    job = StoreJob(
        port=engine.port,
        pid=engine.pid,
        depth=BASE_DEPTH,
        operation="get",
        payload=_ENTRY,
        keys=keys,
        seconds=bench.seconds,
        stride=_READ_STRIDE,
        is_filled=True,
        calls=keys,
    )
    result = bench.processes.run(job, CallResult)
    bench.report.figure(workload, "engine", [result], engine.memory())
    _limit_memory(bench, workload, engine)


def _limit_memory(bench: Bench, workload: str, engine: Subject) -> None:
    size = engine.memory().rss_kib / 1024
    bench.report.limit(workload, "RSS afterwards", [size], target=_MEMORY_MIB, unit="MiB")


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


def _mix(bench: Bench, engine: Subject, sets_per_s: float) -> MixedResult:
    job = MixedJob(
        port=engine.port,
        pid=engine.pid,
        depth=_CALLS_DEPTH,
        payload=SMALL,
        sets_per_s=sets_per_s,
        keys=_KEYS,
        seconds=bench.seconds,
    )
    return bench.processes.run(job, MixedResult)


def _call(
    bench: Bench,
    engine: Subject,
    operation: Operation,
    depth: int,
    *,
    payload: Payload = SMALL,
    stride: int = 1,
) -> CallResult:
    job = StoreJob(
        port=engine.port,
        pid=engine.pid,
        depth=depth,
        operation=operation,
        payload=payload,
        keys=_KEYS,
        seconds=bench.seconds,
        stride=stride,
    )
    return bench.processes.run(job, CallResult)
