"""The scheduler of periodic tasks while its database changes or fails under it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from django.db import OperationalError, connections
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from engine.background import beat
from engine.background.beat import BeatScheduler
from engine.core.log_limit import LogLimit
from iiiproject.background import load_app

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[BeatScheduler]:
    """One that has not complained yet."""
    monkeypatch.setattr(beat, "_complaints", LogLimit(beat.logger, 60.0))
    app: Celery = load_app()
    scheduler = BeatScheduler(app, is_embedded=True)
    yield scheduler
    scheduler.close()


def add_task() -> None:
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.create(name="test", task="tests.remember", interval=every)


def fail(*_: Any) -> Any:
    raise OperationalError("disk I/O error")


def fail_to_read_tasks(execute: Any, sql: str, *rest: Any) -> Any:
    if "django_celery_beat_periodictask" in sql and PeriodicTasks._meta.db_table not in sql:
        return fail()
    return execute(sql, *rest)


def test_a_task_that_is_added_while_the_schedule_is_first_read_is_noticed() -> None:
    class Slow(BeatScheduler):
        reads = 0

        def all_as_schedule(self) -> Any:
            found = super().all_as_schedule()
            self.reads += 1
            if self.reads == 1:
                add_task()
            return found

    scheduler = Slow(load_app(), is_embedded=True)
    scheduler.tick()
    scheduler.close()

    assert set(scheduler.old_schedulers) == {"test"}


def test_an_outage_is_told_once_without_a_stack(
    scheduler: BeatScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    with connections["system"].execute_wrapper(fail):
        pauses = [scheduler.tick() for _ in range(3)]

    assert pauses == [scheduler.max_interval] * 3
    assert caplog.messages == ["periodic tasks wait for the database: disk I/O error"]
    assert not caplog.records[0].exc_info


def test_what_could_not_be_read_is_read_afterwards(scheduler: BeatScheduler) -> None:
    scheduler.tick()
    add_task()
    with connections["system"].execute_wrapper(fail_to_read_tasks):
        assert scheduler.tick() == scheduler.max_interval

    scheduler.tick()

    assert set(scheduler.old_schedulers) == {"test"}
