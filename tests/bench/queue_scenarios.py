"""The workloads on durable queues: embedded on SQLite, and on PostgreSQL with Redis and Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from tests.bench.bench import BASE_DEPTH, Bench, rates
from tests.bench.jobs import (
    BacklogJob,
    BacklogResult,
    CallResult,
    DeliverJob,
    EnqueueJob,
    PickUpJob,
    QuietJob,
    QuietResult,
)
from tests.bench.processes import BenchFailed, Subject
from tests.bench.procfs import memory
from tests.services import find_postgres, redis_server, running_postgres

_PAYLOAD_BYTES: Final = 100
_MOST_DEPTH: Final = 512

_PICK_UPS: Final = 100
# Longer than an engine goes on looking into a queue that has become empty.
_PICK_UP_PAUSE_S: Final = 0.12

_BACKLOG: Final = 100_000
_BACKLOG_ROUNDS: Final = 3
_GROWTH_MIB: Final = 100

_GROUPS: Final = 1_000
_FIFO_CONCURRENCY: Final = 64
# So many that each group has messages that wait for those before them.
_FIFO_DEPTH: Final = 2_048

_IDLE_QUEUES: Final = 100
_IDLE_S: Final = 10.0
_IDLE_SETTLE_S: Final = 3.0
_BUSY_PERCENT: Final = 1
_STATEMENTS_PER_S: Final = 2


@dataclass(frozen=True, slots=True)
class _Targets:
    """What one kind of deployment has to reach: rates in R, times in milliseconds."""

    enqueue: Mapping[int, float]
    deliver: float
    pick_up_p50_ms: float
    pick_up_p99_ms: float
    backlog: float
    fifo: float


_EMBEDDED: Final = _Targets({BASE_DEPTH: 0.4, _MOST_DEPTH: 0.7}, 0.2, 5, 20, 0.2, 0.15)
_SERVICES: Final = _Targets({BASE_DEPTH: 0.15, _MOST_DEPTH: 0.35}, 0.1, 10, 40, 0.1, 0.08)


@dataclass(frozen=True, slots=True)
class Deployment:
    """An engine with what it needs, beside the bare router.

    Attributes:
        title: where its messages are.
        celery: the process id of its Celery worker; 0 if the engine runs Celery itself.
        database_url: of its PostgreSQL; empty for SQLite.
    """

    title: str
    router: Subject
    engine: Subject
    targets: _Targets
    celery: int = 0
    database_url: str = ""


Deploy = Callable[[Bench], AbstractContextManager[Deployment]]


@contextmanager
def embedded(bench: Bench) -> Iterator[Deployment]:
    """Run an engine that needs nothing else."""
    with bench.subjects() as (router, engine):
        yield Deployment("SQLite", router, engine, _EMBEDDED)


@contextmanager
def with_services(bench: Bench) -> Iterator[Deployment]:
    """Run an engine on PostgreSQL and Redis, with one Celery worker, on the same processors."""
    binaries = find_postgres()
    if binaries is None:
        raise BenchFailed("PostgreSQL is not installed: apt-get install postgresql")
    processes = bench.processes
    with (
        running_postgres(binaries, is_durable=True) as database_url,
        redis_server() as redis,
        processes.bare_router() as router,
        processes.engine(database_url, redis_url=redis.url) as engine,
        processes.celery_worker(engine, redis.url) as celery,
    ):
        title = "PostgreSQL and Redis"
        yield Deployment(title, router, engine, _SERVICES, celery, database_url)


def enqueue(bench: Bench, deployment: Deployment) -> None:
    """Measure messages that are put in; each answer is one of a committed message."""
    for depth, target in deployment.targets.enqueue.items():
        workload = f"enqueue, {deployment.title}, depth {depth}"
        bench.say(f" {workload}")
        job = EnqueueJob(
            port=deployment.engine.port,
            pid=deployment.engine.pid,
            depth=depth,
            payload_bytes=_PAYLOAD_BYTES,
            seconds=bench.seconds,
        )
        _compare(bench, deployment, job, workload, "messages/s ÷ R", target)


def deliver(bench: Bench, deployment: Deployment) -> None:
    """Measure messages from the call that puts them in until a worker has answered them."""
    job = DeliverJob(
        port=deployment.engine.port,
        pid=deployment.engine.pid,
        depth=_MOST_DEPTH,
        payload_bytes=_PAYLOAD_BYTES,
        seconds=bench.seconds,
        helper=deployment.celery,
    )
    workload = f"queue end to end, {deployment.title}, depth {_MOST_DEPTH}"
    _compare(bench, deployment, job, workload, "messages/s ÷ R", deployment.targets.deliver)


def fifo(bench: Bench, deployment: Deployment) -> None:
    """Measure messages of many groups, each in order; one that is not counts as wrong."""
    job = DeliverJob(
        port=deployment.engine.port,
        pid=deployment.engine.pid,
        depth=_FIFO_DEPTH,
        payload_bytes=_PAYLOAD_BYTES,
        seconds=bench.seconds,
        helper=deployment.celery,
        groups=_GROUPS,
        concurrency=_FIFO_CONCURRENCY,
    )
    workload = f"FIFO, {deployment.title}, {_GROUPS:,} groups, concurrency {_FIFO_CONCURRENCY}"
    _compare(bench, deployment, job, workload, "messages/s ÷ R", deployment.targets.fifo)


def pick_up(bench: Bench, deployment: Deployment) -> None:
    """Measure how long single messages take from their call to their worker."""
    messages = _PICK_UPS // (5 if bench.is_quick else 1)
    job = PickUpJob(
        port=deployment.engine.port,
        pid=deployment.engine.pid,
        messages=messages,
        payload_bytes=_PAYLOAD_BYTES,
        pause_s=_PICK_UP_PAUSE_S,
    )
    results: list[CallResult] = []
    for number in range(1, min(bench.rounds, _BACKLOG_ROUNDS) + 1):
        bench.say(f"  round {number}: {messages} single messages")
        results.append(bench.processes.run(job, CallResult))
    workload, targets = f"pick-up when idle, {deployment.title}", deployment.targets
    report = bench.report
    report.figure(workload, "engine", results, deployment.engine.memory())
    p50s = [result.p50_us / 1000 for result in results]
    report.limit(workload, "p50", p50s, target=targets.pick_up_p50_ms, unit="ms")
    p99s = [result.p99_us / 1000 for result in results]
    report.limit(workload, "p99", p99s, target=targets.pick_up_p99_ms, unit="ms")


def backlog(bench: Bench, deployment: Deployment) -> None:
    """Measure how a backlog is worked off, and what memory it takes."""
    messages = _BACKLOG // (10 if bench.is_quick else 1)
    job = BacklogJob(
        port=deployment.engine.port,
        pid=deployment.engine.pid,
        messages=messages,
        depth=_MOST_DEPTH,
        payload_bytes=_PAYLOAD_BYTES,
        helper=deployment.celery,
    )
    base: list[CallResult] = []
    results: list[BacklogResult] = []
    for number in range(1, min(bench.rounds, _BACKLOG_ROUNDS) + 1):
        bench.say(f"  round {number}: bare, {messages:,} messages")
        base.append(bench.base(deployment.router))
        results.append(bench.processes.run(job, BacklogResult))
    workload = f"backlog of {messages:,} messages, {deployment.title}"
    ours = [result.calls for result in results]
    _figures(bench, deployment, workload, ours)
    report = bench.report
    report.ratio(
        workload,
        "messages/s ÷ R",
        rates(ours),
        rates(base),
        target=deployment.targets.backlog,
        at_least=True,
        unit="R",
    )
    growths = [result.growth_mib for result in results]
    report.limit(workload, "growth of RSS", growths, target=_GROWTH_MIB, unit="MiB")


def quiet(bench: Bench, deployment: Deployment) -> None:
    """Measure what many queues cost that have nothing to do.

    What SQLite is asked cannot be counted from outside of the engine; a test of the module does.
    """
    job = QuietJob(
        port=deployment.engine.port,
        pid=deployment.engine.pid,
        kind="queue",
        triggers=_IDLE_QUEUES,
        seconds=_IDLE_S,
        settle_s=_IDLE_SETTLE_S,
        helpers=(deployment.celery,) if deployment.celery else (),
        database_url=deployment.database_url,
    )
    workload = f"{_IDLE_QUEUES} idle queues, {deployment.title}"
    bench.say(f" {workload}")
    result = bench.processes.run(job, QuietResult)
    report = bench.report
    report.limit(workload, "CPU", [result.busy_percent], target=_BUSY_PERCENT, unit="%")
    if deployment.celery:
        percent = result.helper_cpu_s / result.seconds * 100
        report.limit(workload, "CPU of Celery", [percent], target=_BUSY_PERCENT, unit="%")
    if result.transactions is not None:
        # A statement of its own is a transaction of its own.
        rate = result.transactions / result.seconds
        report.limit(workload, "SQL transactions/s", [rate], target=_STATEMENTS_PER_S, unit="")


def _compare(
    bench: Bench,
    deployment: Deployment,
    job: EnqueueJob | DeliverJob,
    workload: str,
    measure: str,
    target: float,
) -> None:
    """Measure messages in turn with the bare router's calls."""
    results = bench.interleave(
        {
            "bare": partial(bench.base, deployment.router),
            "engine": partial(bench.processes.run, job, CallResult),
        }
    )
    ours = results["engine"]
    _figures(bench, deployment, workload, ours)
    bench.report.ratio(
        workload,
        measure,
        rates(ours),
        rates(results["bare"]),
        target=target,
        at_least=True,
        unit="R",
    )


def _figures(
    bench: Bench, deployment: Deployment, workload: str, results: list[CallResult]
) -> None:
    """Report the engine's figures and, where Celery has a process of its own, that one's."""
    bench.report.figure(workload, "engine", results, deployment.engine.memory())
    if deployment.celery and any(result.helper_cpu_s for result in results):
        of_celery = [
            msgspec.structs.replace(
                result, cpu_s=result.helper_cpu_s, lost=0, duplicated=0, wrong=0, sample=""
            )
            for result in results
        ]
        bench.report.figure(workload, "celery worker", of_celery, memory(deployment.celery))


_WORKLOADS: Final[tuple[tuple[str, str, Callable[[Bench, Deployment], None]], ...]] = (
    ("enqueue", "messages put into a queue, each answer a committed one", enqueue),
    ("deliver", "messages through a queue, end to end", deliver),
    ("pick-up", "single messages while nothing else happens", pick_up),
    ("backlog", "100,000 messages that have waited: rate and memory", backlog),
    ("fifo", "1,000 message groups in order, 64 at once", fifo),
    ("idle", "100 queues without messages", quiet),
)


def _run(bench: Bench, deploy: Deploy, workload: Callable[[Bench, Deployment], None]) -> None:
    with deploy(bench) as deployment:
        workload(bench, deployment)


QUEUE_SCENARIOS: Final = tuple(
    (f"queue-{name}{suffix}", f"{title}{where}", partial(_run, deploy=deploy, workload=workload))
    for deploy, suffix, where in (
        (embedded, "", " (SQLite)"),
        (with_services, "-services", " (PostgreSQL, Redis, Celery)"),
    )
    for name, title, workload in _WORKLOADS
)
"""Name, title and run of each workload, embedded and with services."""
