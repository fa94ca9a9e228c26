"""The job of an engine that has triggers and nothing to do."""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter

import psycopg

from tests.bench.connection import Loop
from tests.bench.jobs import QuietJob, QuietResult
from tests.bench.measuring import await_open, serve_until
from tests.bench.procfs import cpu_seconds, tree_cpu_seconds
from tests.bench.queues import await_subscribers
from tests.bench.schedules import await_active, later
from tests.bench.traffic import Worker, cron_trigger, queue_trigger


def run_quiet(job: QuietJob) -> QuietResult:
    """Measure an engine whose queues have nothing to deliver, or whose schedules are due later."""
    loop = Loop()
    names = [f"quiet::{job.kind}{number:04}" for number in range(job.triggers)]
    if job.kind == "queue":
        triggers = [queue_trigger(name, name, {}) for name in names]
    else:
        triggers = [cron_trigger(later(), name, name) for name in names]
    worker = Worker(loop, job.port, names, b"null", triggers=triggers)
    await_open(loop, [worker])
    if job.kind == "queue":
        await_subscribers(loop, job.port, names[-1], 1)
    else:
        await_active(loop, job.port, "quiet::", job.triggers)
    serve_until(loop, perf_counter() + job.settle_s)
    with ExitStack() as stack:
        connection: psycopg.Connection[tuple[int]] | None = None
        if job.database_url:
            connection = stack.enter_context(psycopg.connect(job.database_url, autocommit=True))
        before = _transactions(connection)
        cpu_s, helper_cpu_s = cpu_seconds(job.pid), sum(map(tree_cpu_seconds, job.helpers))
        started = perf_counter()
        serve_until(loop, started + job.seconds)
        seconds = perf_counter() - started
        cpu_s = cpu_seconds(job.pid) - cpu_s
        helper_cpu_s = sum(map(tree_cpu_seconds, job.helpers)) - helper_cpu_s
        after = _transactions(connection)
    loop.close()
    made = None if before is None or after is None else after - before
    return QuietResult(job.triggers, seconds, cpu_s, helper_cpu_s, made)


def _transactions(connection: psycopg.Connection[tuple[int]] | None) -> int | None:
    """Return how many transactions the server has seen; what looks is one of them."""
    if connection is None:
        return None
    counted = connection.execute(
        "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database"
    ).fetchone()
    assert counted is not None
    return counted[0]
