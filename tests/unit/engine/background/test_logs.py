from __future__ import annotations

import logging

import pytest

from engine.background.quiet import quiet_engine_tasks


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
