"""The load generator's jobs on durable queues, against a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

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
from tests.bench.processes import Processes, Subject
from tests.integration.bench.test_realtime_jobs import assert_is_exact

PROCESSES: Final = Processes()
SECONDS: Final = 0.3
WARMUP_S: Final = 0.1


@pytest.fixture(scope="module")
def engine() -> Iterator[Subject]:
    """A running engine."""
    with PROCESSES.engine() as engine:
        yield engine


def test_messages_that_are_put_in_are_counted(engine: Subject) -> None:
    job = EnqueueJob(engine.port, engine.pid, 8, 100, SECONDS, WARMUP_S)
    assert_is_exact(PROCESSES.run(job, CallResult))


@pytest.mark.parametrize(("groups", "concurrency"), [(0, 0), (20, 4)])
def test_delivered_messages_are_counted(engine: Subject, groups: int, concurrency: int) -> None:
    job = DeliverJob(
        engine.port,
        engine.pid,
        64,
        100,
        SECONDS,
        groups=groups,
        concurrency=concurrency,
        warmup_s=WARMUP_S,
    )
    assert_is_exact(PROCESSES.run(job, CallResult))


def test_single_messages_are_timed(engine: Subject) -> None:
    result = PROCESSES.run(PickUpJob(engine.port, engine.pid, 3, 100, 0.05), CallResult)
    assert_is_exact(result)
    assert result.calls == 3


def test_a_backlog_is_delivered(engine: Subject) -> None:
    result = PROCESSES.run(BacklogJob(engine.port, engine.pid, 500, 64, 100), BacklogResult)
    assert_is_exact(result.calls)
    assert result.calls.calls == 500
    assert result.rss_most_kib > 0


def test_idle_queues_are_measured(engine: Subject) -> None:
    result = PROCESSES.run(QuietJob(engine.port, engine.pid, "queue", 5, 0.2, 0.1), QuietResult)
    assert result.triggers == 5
    assert result.seconds >= 0.2
    assert result.transactions is None
