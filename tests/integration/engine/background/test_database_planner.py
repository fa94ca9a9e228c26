"""The clock's own way to PostgreSQL: it plans without an engine, and hears of changes."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import django.db
import psycopg
import pytest
from django.db import connections
from django.db.models.functions import Now
from pytest_django.plugin import DjangoDbBlocker

from engine.background import database_planner
from engine.background.alarm import Alarm
from engine.background.database_planner import DatabasePlanner
from engine.background.planners import PlanningFailed
from engine.models import EngineNode, Schedule, Tick
from engine.modules.cron.records import LEAD_MS
from kv.clock import now_ms

LIMIT_S: Final = 10.0

HOUR_MS: Final = 3_600_000


@pytest.fixture
def alias(postgres_alias: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """An empty database on which an engine runs."""
    add_engine(postgres_alias)
    with django_db_blocker.unblock():
        yield postgres_alias


@pytest.fixture
def planner(alias: str) -> Iterator[DatabasePlanner]:
    planner = DatabasePlanner(alias)
    yield planner
    planner.close()


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm()
    yield alarm
    alarm.close()


def add_engine(alias: str, url: str = "ws://a:1") -> uuid.UUID:
    """Note an engine that runs."""
    row = EngineNode(id=uuid.uuid4(), hostname="h", pid=1, version="1", url=url)
    row.started_at = row.seen_at = Now()
    row.save(using=alias, force_insert=True)
    return row.id


def add_schedule(alias: str, due_at: int, **more: Any) -> Schedule:
    """Add a person's schedule of every hour that is due at this time."""
    return Schedule.objects.using(alias).create(
        schedule_id=str(uuid.uuid4()),
        origin=Schedule.Origin.PERSON,
        function_id="shop::close",
        expression="0 0 * * * * *",
        next_at=due_at,
        due_at=due_at,
        created_at=0,
        **more,
    )


def next_hour() -> int:
    return (now_ms() // HOUR_MS + 1) * HOUR_MS


def slept_s(planner: DatabasePlanner, alarm: Alarm, timeout_s: float) -> float:
    began = time.monotonic()
    planner.wait(alarm, timeout_s)
    return time.monotonic() - began


def change(alias: str, statement: str) -> None:
    """Run a statement on a connection of its own, from another thread."""

    def run() -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute(statement)
        connections[alias].close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LIMIT_S)


NOTIFY: Final = "SELECT pg_notify('iii_schedules', '')"


def test_what_is_due_gets_a_tick(alias: str, planner: DatabasePlanner) -> None:
    due_at = next_hour() - HOUR_MS
    schedule = add_schedule(alias, due_at)

    planned = planner.plan()

    assert planned is not None
    assert planned.next_due_at == due_at + HOUR_MS
    [tick] = Tick.objects.using(alias).all()
    assert (tick.schedule_id, tick.scheduled_at) == (schedule.id, due_at)


@pytest.mark.parametrize("is_there", [False, True], ids=["no engine", "one without cron"])
def test_nothing_is_planned_for_nobody(
    alias: str, planner: DatabasePlanner, is_there: bool
) -> None:
    EngineNode.objects.using(alias).update(runs_schedules=False)
    if not is_there:
        EngineNode.objects.using(alias).all().delete()
    add_schedule(alias, next_hour() - HOUR_MS)

    assert planner.plan() is None

    assert not Tick.objects.using(alias).exists()


def test_what_is_due_later_is_only_looked_at(alias: str, planner: DatabasePlanner) -> None:
    due_at = now_ms() + LEAD_MS + HOUR_MS
    add_schedule(alias, due_at)
    planner.plan()
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with connections[alias].execute_wrapper(note):
        planned = planner.plan()

    assert planned is not None
    assert (planned.ticks, planned.next_due_at) == (0, due_at)
    assert statements == []  # the look is past Django's cursor, and there is no other


def test_a_change_ends_the_pause(alias: str, planner: DatabasePlanner, alarm: Alarm) -> None:
    planner.plan()
    timer = threading.Timer(0.05, change, (alias, NOTIFY))
    timer.start()

    assert slept_s(planner, alarm, LIMIT_S) < LIMIT_S / 2
    timer.join()
    assert slept_s(planner, alarm, 0.05) >= 0.05  # it has been heard once


def test_a_change_during_a_look_is_heard_after_it(
    alias: str, planner: DatabasePlanner, alarm: Alarm
) -> None:
    planner.plan()
    change(alias, NOTIFY)

    assert slept_s(planner, alarm, LIMIT_S) < LIMIT_S / 2


def test_another_thread_ends_the_pause(planner: DatabasePlanner, alarm: Alarm) -> None:
    planner.plan()
    alarm.ring()

    assert slept_s(planner, alarm, LIMIT_S) < LIMIT_S / 2


def test_it_listens_again_after_its_connection_was_cut(
    alias: str, planner: DatabasePlanner, alarm: Alarm
) -> None:
    planner.plan()
    change(
        alias,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    assert slept_s(planner, alarm, LIMIT_S) < LIMIT_S / 2  # it looks at once: a word may be lost

    planner.plan()
    change(alias, NOTIFY)

    assert slept_s(planner, alarm, LIMIT_S) < LIMIT_S / 2
    assert slept_s(planner, alarm, 0.05) >= 0.05


def test_it_looks_now_and_then_where_it_cannot_listen(
    alias: str,
    planner: DatabasePlanner,
    alarm: Alarm,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(**_: Any) -> None:
        raise psycopg.OperationalError("too many connections")

    monkeypatch.setattr(psycopg, "connect", refuse)

    for _ in range(3):
        assert planner.plan() is not None
        planner.wait(alarm, 0.01)

    assert caplog.text.count("looking every 5 s: too many connections") == 1


def test_a_look_that_fails_says_so_and_the_next_one_has_a_new_connection(
    alias: str, planner: DatabasePlanner
) -> None:
    planner.plan()
    change(
        alias,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )

    with pytest.raises(PlanningFailed, match=r"^the database failed: ") as failure:
        planner.plan()

    assert isinstance(failure.value.__cause__, django.db.Error)
    assert planner.plan() is not None


def test_a_clock_that_is_set_back_begins_again_at_the_new_time(
    alias: str, planner: DatabasePlanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = next_hour()
    now = before + 24 * HOUR_MS
    monkeypatch.setattr(database_planner, "now_ms", lambda: now)
    schedule = add_schedule(alias, now + HOUR_MS)
    planner.plan()

    now = before

    planned = planner.plan()
    assert planned is not None
    assert planned.next_due_at == before + HOUR_MS
    schedule.refresh_from_db(using=alias)
    assert schedule.next_at == before + HOUR_MS
