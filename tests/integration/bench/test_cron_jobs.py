"""The load generator's jobs on schedules, against a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.bench.jobs import (
    CallResult,
    QuietJob,
    QuietResult,
    ReturnJob,
    ReturnResult,
    TicksJob,
)
from tests.bench.processes import Processes, Subject
from tests.bench.stored_schedules import store_schedules
from tests.integration.bench.test_realtime_jobs import assert_is_exact

PROCESSES: Final = Processes()


@pytest.fixture(scope="module")
def engine() -> Iterator[Subject]:
    """A running engine."""
    with PROCESSES.engine() as engine:
        yield engine


def test_ticks_of_every_second_are_counted(engine: Subject) -> None:
    result = PROCESSES.run(TicksJob(engine.port, engine.pid, 10, 2), CallResult)

    assert_is_exact(result)
    assert result.calls == 20


def test_schedules_for_later_are_measured(engine: Subject) -> None:
    result = PROCESSES.run(QuietJob(engine.port, engine.pid, "cron", 5, 0.2, 0.1), QuietResult)

    assert result.triggers == 5
    assert result.transactions is None


def test_workers_that_come_back_are_timed(engine: Subject) -> None:
    result = PROCESSES.run(ReturnJob(engine.port, engine.pid, 20, 2, workers=2), ReturnResult)

    assert (result.schedules, result.lost, result.doubled) == (40, 0, 0)
    assert len(result.back_s) == 2
    assert result.rss_after_kib > 0


def test_an_engine_starts_with_schedules_that_were_stored_for_it(tmp_path: Path) -> None:
    PROCESSES.migrate(tmp_path)
    store_schedules(tmp_path, "", 50)

    with PROCESSES.engine(data=tmp_path) as engine:
        # Those that are stored are none of this worker's.
        result = PROCESSES.run(ReturnJob(engine.port, engine.pid, 5, rounds=0), ReturnResult)

    assert (result.lost, result.doubled) == (0, 0)
