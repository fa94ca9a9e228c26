"""A running engine that has schedules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.apps import set_engine
from tests.integration.cron_thread import CronThread, Office


@pytest.fixture
def crons(transactional_db: None) -> Iterator[CronThread]:
    """The running engine of this process, with schedules."""
    thread = CronThread()
    thread.start()
    set_engine(thread.engine, thread.loop)
    yield thread
    set_engine(None)
    thread.stop()


@pytest.fixture
def office(crons: CronThread) -> Office:
    return Office(crons)
