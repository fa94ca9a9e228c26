"""The workloads on schedules: embedded on SQLite, and on PostgreSQL with Redis and Celery."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from tests.bench.bench import Bench
from tests.bench.jobs import (
    CallResult,
    QuietJob,
    QuietResult,
    ReturnJob,
    ReturnResult,
    TicksJob,
)
from tests.bench.processes import BenchFailed, Subject
from tests.bench.procfs import memory
from tests.bench.stored_schedules import store_schedules
from tests.services import find_postgres, redis_server, running_postgres

_SCHEDULES: Final = 1_000
_P50_MS: Final = 20
_P99_MS: Final = 100

_MANY: Final = 100_000
_START_S: Final = 5
_MEMORY_MIB: Final = 150
_MANY_ROUNDS: Final = 3
# After which an engine that has started is at rest.
_REST_S: Final = 3.0

_IDLE_S: Final = 30.0
# PostgreSQL counts the transactions of a connection that is idle up to ten seconds late, and clears
# up behind what was just written.
_IDLE_SETTLE_S: Final = 20.0
_BUSY_PERCENT: Final = 1
_STATEMENTS_PER_S: Final = 2

_RETURNS: Final = 5
_RETURN_S: Final = 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """An engine with what it needs.

    Attributes:
        title: where its schedules are.
        helpers: the processes of Celery, where the engine does not run it itself: worker and beat.
        database_url: of its PostgreSQL; empty for SQLite.
    """

    title: str
    engine: Subject
    helpers: tuple[int, ...] = ()
    database_url: str = ""


@dataclass(frozen=True, slots=True)
class _Services:
    """Where an engine keeps its rows, and what a broker there is; empty for those of its own."""

    database_url: str = ""
    redis_url: str = ""


Provide = Callable[[], AbstractContextManager[_Services]]


@contextmanager
def no_services() -> Iterator[_Services]:
    """Let the engine do everything itself."""
    yield _Services()


@contextmanager
def services() -> Iterator[_Services]:
    """Run PostgreSQL and Redis."""
    binaries = find_postgres()
    if binaries is None:
        raise BenchFailed("PostgreSQL is not installed: apt-get install postgresql")
    with running_postgres(binaries, is_durable=True) as database_url, redis_server() as redis:
        yield _Services(database_url, redis.url)


@contextmanager
def deployed(bench: Bench, services: _Services, data: Path | None = None) -> Iterator[Deployment]:
    """Run an engine; with services also one Celery worker and beat, on the same processors."""
    processes, helpers = bench.processes, []
    database_url, redis_url = services.database_url, services.redis_url
    with ExitStack() as stack:
        engine = stack.enter_context(processes.engine(database_url, data, redis_url))
        if redis_url:
            helpers = [
                stack.enter_context(processes.celery_worker(engine, redis_url)),
                stack.enter_context(processes.beat(engine, database_url, redis_url)),
            ]
        title = "PostgreSQL and Redis" if database_url else "SQLite"
        yield Deployment(title, engine, tuple(helpers), database_url)


def ticks(bench: Bench, deployment: Deployment) -> None:
    """Measure how late functions are called that are due every second."""
    schedules = _SCHEDULES // (10 if bench.is_quick else 1)
    engine, report = deployment.engine, bench.report
    workload = f"{schedules:,} schedules every second, {deployment.title}"
    bench.say(f"  {workload}, for {bench.ticks_s} s")
    job = TicksJob(engine.port, engine.pid, schedules, bench.ticks_s, deployment.helpers)
    result = bench.processes.run(job, CallResult)
    report.figure(workload, "engine", [result], engine.memory())
    if deployment.helpers:
        of_celery = msgspec.structs.replace(
            result, cpu_s=result.helper_cpu_s, lost=0, duplicated=0, wrong=0, sample=""
        )
        report.figure(workload, "celery and beat", [of_celery], memory(deployment.helpers[0]))
    report.limit(workload, "lateness p50", [result.p50_us / 1e3], target=_P50_MS, unit="ms")
    report.limit(workload, "lateness p99", [result.p99_us / 1e3], target=_P99_MS, unit="ms")
    report.limit(workload, "ticks lost", [result.lost], target=0, unit="")
    report.limit(workload, "ticks doubled", [result.duplicated], target=0, unit="")


def quiet(bench: Bench, deployment: Deployment) -> None:
    """Measure what many schedules cost that are due in hours.

    What SQLite is asked cannot be counted from outside of the engine.
    """
    job = QuietJob(
        port=deployment.engine.port,
        pid=deployment.engine.pid,
        kind="cron",
        triggers=_SCHEDULES,
        seconds=_IDLE_S / (4 if bench.is_quick else 1),
        settle_s=_IDLE_SETTLE_S / (4 if bench.is_quick else 1),
        helpers=deployment.helpers,
        database_url=deployment.database_url,
    )
    workload = f"{_SCHEDULES:,} schedules for later, {deployment.title}"
    bench.say(f"  {workload}")
    result, report = bench.processes.run(job, QuietResult), bench.report
    report.limit(workload, "CPU", [result.busy_percent], target=_BUSY_PERCENT, unit="%")
    if deployment.helpers:
        percent = result.helper_cpu_s / result.seconds * 100
        report.limit(workload, "CPU of Celery and beat", [percent], target=_BUSY_PERCENT, unit="%")
    if result.transactions is not None:
        # A statement of its own is a transaction of its own.
        rate = result.transactions / result.seconds
        report.limit(workload, "SQL transactions/s", [rate], target=_STATEMENTS_PER_S, unit="")


def come_back(bench: Bench, deployment: Deployment) -> None:
    """Measure how long it takes until all schedules of a worker are its own again."""
    engine, report = deployment.engine, bench.report
    rounds = 1 if bench.is_quick else _RETURNS
    job = ReturnJob(engine.port, engine.pid, _SCHEDULES, rounds)
    workload = f"{_SCHEDULES:,} triggers at once, {deployment.title}"
    bench.say(f"  {workload}")
    result = bench.processes.run(job, ReturnResult)
    report.limit(workload, "new", [result.first_s], target=_RETURN_S, unit="s")
    report.limit(workload, "back again", result.back_s, target=_RETURN_S, unit="s")
    report.limit(workload, "schedules lost", [result.lost], target=0, unit="")
    report.limit(workload, "schedules doubled", [result.doubled], target=0, unit="")


def many_live(bench: Bench, deployment: Deployment) -> None:
    """Measure what the schedules of a large fleet weigh while its worker is there.

    Beyond the rows there is a trigger of each, with its settings.
    """
    engine, report = deployment.engine, bench.report
    workers = _MANY // _SCHEDULES // (10 if bench.is_quick else 1)
    schedules = workers * _SCHEDULES
    workload = f"{schedules:,} triggers for later, {deployment.title}"
    bench.say(f"  {workload}")
    job = ReturnJob(engine.port, engine.pid, _SCHEDULES, rounds=0, workers=workers)
    result = bench.processes.run(job, ReturnResult)
    bench.say(f"  registered in {result.first_s:.1f} s")
    report.limit(workload, "growth of RSS", [result.growth_mib], target=_MEMORY_MIB, unit="MiB")
    report.limit(workload, "schedules lost", [result.lost], target=0, unit="")


def many_stored(bench: Bench, provide: Provide) -> None:
    """Measure the start and the memory of an engine beside those of one without schedules."""
    schedules = _MANY // (10 if bench.is_quick else 1)
    sizes: list[float] = []
    starts: list[float] = []
    bare_starts: list[float] = []
    title = ""
    for _ in range(min(bench.rounds, _MANY_ROUNDS)):
        with provide() as services, tempfile.TemporaryDirectory(prefix="iii-bench-") as directory:
            data = Path(directory)
            bench.processes.migrate(data, services.database_url)
            without, bare = _settled(bench, services, data)
            bare_starts.append(bare.engine.start_s)
            store_schedules(data, services.database_url, schedules)
            bench.say(f"  start with {schedules:,} schedules")
            weight, deployment = _settled(bench, services, data)
            title = deployment.title
            starts.append(deployment.engine.start_s)
            sizes.append((weight - without) / 1024)
    workload = f"{schedules:,} stored schedules, {title}"
    bench.say(f"  an engine without any starts in {median(bare_starts):.1f} s")
    bench.report.limit(workload, "start", starts, target=_START_S, unit="s")
    bench.report.limit(workload, "growth of RSS", sizes, target=_MEMORY_MIB, unit="MiB")


def _settled(bench: Bench, services: _Services, data: Path) -> tuple[int, Deployment]:
    """Start an engine and end it again; return its memory in KiB when it was at rest."""
    with deployed(bench, services, data) as deployment:
        engine = deployment.engine
        job = QuietJob(engine.port, engine.pid, "cron", 1, 0.1, _REST_S)
        bench.processes.run(job, QuietResult)
        return engine.memory().rss_kib, deployment


def _run(bench: Bench, provide: Provide, workload: Callable[[Bench, Deployment], None]) -> None:
    with provide() as services, deployed(bench, services) as deployment:
        workload(bench, deployment)


_WORKLOADS: Final[tuple[tuple[str, str, Callable[[Bench, Deployment], None]], ...]] = (
    ("ticks", "1,000 schedules that are due every second: lateness", ticks),
    ("idle", "1,000 schedules that are due in hours", quiet),
    ("return", "1,000 triggers of a worker that comes back", come_back),
    ("live", "100,000 triggers that are due in hours: memory", many_live),
)
_WHERE: Final[tuple[tuple[Provide, str, str], ...]] = (
    (no_services, "", " (SQLite)"),
    (services, "-services", " (PostgreSQL, Redis, Celery)"),
)

CRON_SCENARIOS: Final = (
    *(
        (f"cron-{name}{suffix}", f"{title}{where}", partial(_run, provide=provide, workload=run))
        for provide, suffix, where in _WHERE
        for name, title, run in _WORKLOADS
    ),
    *(
        (
            f"cron-stored{suffix}",
            f"100,000 stored schedules: start and memory{where}",
            partial(many_stored, provide=provide),
        )
        for provide, suffix, where in _WHERE
    ),
)
"""Name, title and run of each workload, embedded and with services."""
