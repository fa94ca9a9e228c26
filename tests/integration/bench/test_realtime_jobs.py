"""The load generator's jobs on what is handed to many, and on bytes, against a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.bench.jobs import (
    CallResult,
    ChannelJob,
    Direction,
    PublishJob,
    StreamJob,
    TransferJob,
    TransferResult,
    WeightJob,
    WeightResult,
)
from tests.bench.payloads import Payload
from tests.bench.processes import Processes, Subject

PROCESSES: Final = Processes()
SMALL: Final = Payload("text", 100)
SHORT: Final = {"seconds": 0.3, "warmup_s": 0.1}


@pytest.fixture(scope="module")
def engine() -> Iterator[Subject]:
    """A running engine."""
    with PROCESSES.engine() as engine:
        yield engine


def assert_is_exact(result: CallResult) -> None:
    assert (result.lost, result.duplicated, result.wrong, result.sample) == (0, 0, 0, "")
    assert result.calls > 0
    assert 0 < result.p50_us <= result.p99_us


def test_published_messages_are_counted(engine: Subject) -> None:
    job = PublishJob(engine.port, engine.pid, 5, 8, SMALL, **SHORT)
    assert_is_exact(PROCESSES.run(job, CallResult))


@pytest.mark.parametrize(
    ("subscribers", "groups", "groups_each", "is_mixed"),
    [(1, 1, 1, False), (20, 1, 1, False), (20, 20, 4, True)],
)
def test_changes_of_streams_are_counted(
    engine: Subject, subscribers: int, groups: int, groups_each: int, is_mixed: bool
) -> None:
    job = StreamJob(
        engine.port,
        engine.stream_port,
        engine.pid,
        subscribers=subscribers,
        groups=groups,
        groups_each=groups_each,
        depth=8,
        payload=SMALL,
        is_mixed=is_mixed,
        **SHORT,
    )
    assert_is_exact(PROCESSES.run(job, CallResult))


def test_idle_clients_are_weighed(engine: Subject) -> None:
    result = PROCESSES.run(WeightJob(engine.stream_port, engine.pid, 100), WeightResult)
    assert result.subscribers == 100
    assert result.arrival_s > 0


def test_a_channel_is_measured(engine: Subject) -> None:
    result = PROCESSES.run(ChannelJob(engine.port, engine.pid, 65_536, **SHORT), TransferResult)
    assert result.mib_per_s > 0


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_a_body_is_measured(engine: Subject, direction: Direction) -> None:
    size = 16 << 20
    job = TransferJob(engine.port, engine.http_port, engine.pid, direction, size)
    result = PROCESSES.run(job, TransferResult)
    assert result.size == size
