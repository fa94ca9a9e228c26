from __future__ import annotations

import logging

import pytest

from engine.background.log_limit import LogLimit
from engine.background.quiet import quiet_engine_tasks


def test_warnings_within_the_interval_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    limit = LogLimit(logging.getLogger("limited"), interval_s=60.0)

    for number in range(3):
        limit.warning(f"problem {number}")

    assert [each.getMessage() for each in caplog.records] == ["problem 0"]


def test_the_next_warning_names_the_number_of_those_held_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit = LogLimit(logging.getLogger("limited"), interval_s=60.0)
    limit.warning("first")
    limit.warning("second")
    limit._last = float("-inf")

    limit.warning("third")

    assert caplog.records[-1].getMessage() == "third (and 1 more)"


def test_a_celery_worker_logs_of_tasks_of_the_engine_what_goes_wrong_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quiet_engine_tasks()
    log = logging.getLogger("celery.app.trace")
    with caplog.at_level(logging.INFO, logger="celery.app.trace"):
        log.info("drained", extra={"data": {"name": "engine.tasks.drain"}})
        log.error("failed", extra={"data": {"name": "engine.tasks.drain"}})
        log.info("done", extra={"data": {"name": "shop.tasks.ship"}})
        log.info("plain")

    assert [each.getMessage() for each in caplog.records] == ["failed", "done", "plain"]
