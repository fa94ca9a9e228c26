"""A running engine that has schedules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cron_thread import CronThread, Office


@pytest.fixture
def crons(transactional_db: None) -> Iterator[CronThread]:
    """The running engine of this process, with schedules."""
    with CronThread().in_charge() as thread:
        yield thread


@pytest.fixture
def office(crons: CronThread) -> Office:
    return Office(crons)
