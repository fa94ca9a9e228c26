"""The list of schedules and the page of one, on a running engine with its database."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.schedule_rows import STRIP, TICKS
from engine.models import Schedule, Tick
from kv.clock import now_ms
from tests.integration.console.schedules.pages import (
    MINUTE_MS,
    NOON_MS,
    SCHEDULES,
    TICK_LIST,
    State,
    part,
    text_of,
)
from tests.integration.cron_thread import CronThread, add_schedule, add_tick

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


# --- the list -----------------------------------------------------------------------------------


def test_schedules_are_listed_by_their_next_time_in_words_and_in_their_zone(
    admin_client: Client,
) -> None:
    add_schedule("over", next_at=None, due_at=None, ended_at=1)
    add_schedule("later", next_at=NOON_MS + MINUTE_MS, due_at=NOON_MS + MINUTE_MS)
    add_schedule(
        "first",
        expression="0 0 13 * * mon-fri *",
        timezone="Europe/Berlin",
        next_at=NOON_MS,
        due_at=NOON_MS,
    )

    text = text_of(admin_client, SCHEDULES)

    assert text.index(">first<") < text.index(">later<") < text.index(">over<")
    assert "at 13:00 on Mondays to Fridays" in text
    assert "2026-02-18 13:00:00 CET" in text
    assert "2026-02-18 12:00:00 UTC" in text
    assert "never again" in text


@pytest.mark.parametrize(
    ("fields", "state", "label"),
    [
        ({}, "active", "active"),
        ({"is_paused": True}, "paused", "paused"),
        ({"is_enabled": False, "is_paused": True}, "disabled", "disabled"),
        ({"detached_at": 1, "is_enabled": False}, "detached", "no worker"),
        ({"detached_at": 1, "ended_at": 2}, "ended", "ended"),
    ],
)
def test_a_schedule_is_shown_and_found_by_its_state(
    fields: dict[str, Any], state: str, label: str, admin_client: Client
) -> None:
    add_schedule("wanted", **fields)

    assert f'">{label}</span>' in text_of(admin_client, SCHEDULES)
    states = ("active", "paused", "disabled", "detached", "ended", "nonsense")
    found = {
        each for each in states if "wanted" in text_of(admin_client, f"{SCHEDULES}?state={each}")
    }
    assert found == {state, "nonsense"}


def test_schedules_are_found_by_text_and_origin(admin_client: Client) -> None:
    add_schedule("nightly", function_id="reports::make")
    add_schedule("sweep", origin=Schedule.Origin.WORKER, expression="*/30 * * * * * *")

    def found(query: str) -> list[str]:
        text = text_of(admin_client, SCHEDULES + query)
        return [each for each in ("nightly", "sweep") if f">{each}<" in text]

    assert found("?q=REPORTS::") == ["nightly", "sweep"]
    assert found("?q=*/30") == ["sweep"]
    assert found("?origin=person") == ["nightly"]
    assert found("?origin=worker") == ["sweep"]
    assert found("?o=-2") == found("?o=2") == ["nightly", "sweep"]
    assert found("?q=none") == []


def test_the_last_ticks_stand_side_by_side_with_what_has_become_of_them(
    admin_client: Client,
) -> None:
    row = add_schedule()
    for number in range(STRIP + 5):
        add_tick(row, NOON_MS + number * MINUTE_MS)
    end = NOON_MS + (STRIP + 5) * MINUTE_MS
    add_tick(row, end, State.FAILED, error="no_money: none left\nTraceback")
    add_tick(row, end + 1, State.SKIPPED, reason=Tick.Reason.OVERLAP)
    add_tick(row, end + 2, State.MISSED, reason=Tick.Reason.NOT_RUNNING, stands_for=12)

    text = text_of(admin_client, SCHEDULES)

    assert f'aria-label="Last runs: {STRIP - 3} done, 1 failed, 1 skipped, 1 missed"' in text
    kinds = re.findall(r"iii-tick-(\w+)", text)
    assert kinds == ["done"] * (STRIP - 3) + ["failed", "skipped", "missed"]
    assert 'UTC: failed, 5 ms late, took 20 ms, no_money: none left"' in text
    assert 'UTC: skipped, the run before it had not ended"' in text
    assert "nothing that plans schedules ran, so were 11 times before it" in text
    assert "the last began 5 ms late" in text


def test_a_time_that_nobody_has_planned_is_told(admin_client: Client, crons: CronThread) -> None:
    row = add_schedule(next_at=NOON_MS, due_at=NOON_MS)

    assert "overdue" in text_of(admin_client, SCHEDULES)
    assert "Is the clock running?" in part(admin_client, row)
    assert "overdue" in text_of(admin_client, "/")


def test_a_list_asks_the_database_no_more_when_there_is_more(admin_client: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            text_of(admin_client, SCHEDULES)
        assert not any("COUNT" in each["sql"] for each in queries)
        return len(queries)

    add_tick(add_schedule("first"), NOON_MS)
    few = count()
    for number in range(60):
        add_tick(add_schedule(f"s{number:02}"), NOON_MS + number)

    assert count() == few
    assert 'rel="next"' in text_of(admin_client, SCHEDULES)


# --- one schedule -------------------------------------------------------------------------------


def test_a_schedule_shows_its_settings_its_next_times_and_its_ticks(
    admin_client: Client, crons: CronThread
) -> None:
    row = add_schedule(
        expression="0 0 9 31 3 * 2099",
        timezone="America/New_York",
        payload='{"kind":"daily"}',
        misfire="once",
        jitter_ms=5_000,
        condition_function_id="reports::wanted",
    )
    tick = add_tick(row, now_ms() - MINUTE_MS, State.FAILED, error="no_money: none left\nTraceback")

    text = part(admin_client, row)

    assert "Tue 2099-03-31 09:00:00 EDT" in text
    assert "Tue 2099-03-31 13:00:00 UTC" in text
    assert "run once, as soon as possible" in text
    assert "up to 5 s" in text
    assert "reports::wanted" in text
    assert '{ "kind": "daily" }' in text
    assert f"{TICK_LIST}{tick.pk}/change/" in text
    assert "no_money: none left" in text
    assert "Traceback" not in text
    assert "Nobody offers its function now" in text


def test_older_ticks_are_on_pages_of_their_own(admin_client: Client, crons: CronThread) -> None:
    row = add_schedule()
    newest_at = now_ms()
    for number in range(TICKS + 2):
        add_tick(row, newest_at - number * MINUTE_MS)

    newest = part(admin_client, row)
    (before,) = re.findall(r"\?before=(\d+)", newest)
    older = part(admin_client, row, f"&before={before}")

    def ticks(text: str) -> set[str]:
        return set(re.findall(r"tick/(\d+)/change/", text))

    assert (len(ticks(newest)), len(ticks(older))) == (TICKS, 2)
    assert not ticks(newest) & ticks(older)
    assert "?before=" not in older
    assert "Newest" in older
    assert ticks(part(admin_client, row, "&before=x")) == ticks(newest)


def test_a_schedule_that_is_gone_is_missed_in_words(
    admin_client: Client, crons: CronThread
) -> None:
    assert "There is no such schedule" in text_of(admin_client, f"{SCHEDULES}{2**70}/")
    assert "There is no such schedule" in text_of(admin_client, f"{SCHEDULES}7/")
    for path in (f"{SCHEDULES}7/change/", f"{SCHEDULES}x/delete/", f"{SCHEDULES}{2**70}/history/"):
        assert admin_client.get(path)["location"] == SCHEDULES
    for action in ("run", "pause", "skip"):
        assert admin_client.get(f"{SCHEDULES}7/{action}/").status_code == 404
