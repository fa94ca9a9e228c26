"""Schedules that people add, change and delete, and the preview while they type."""

from __future__ import annotations

import html
import re

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.test import Client

from engine.models import Schedule, Tick
from tests.integration.console.schedules.pages import (
    ADD,
    NOON_MS,
    PREVIEW,
    SCHEDULES,
    log,
    page,
    part,
    text_of,
    typed,
)
from tests.integration.cron_thread import SELDOM, CronThread, Office, add_schedule, add_tick

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


# --- adding, changing, deleting -----------------------------------------------------------------


def test_a_person_adds_a_schedule_for_any_function(admin_client: Client, crons: CronThread) -> None:
    answer = admin_client.post(ADD, typed(payload='{ "n": 1.0 }', jitter_ms="250"))

    row = Schedule.objects.get()
    assert answer["location"] == page(row)
    assert (row.schedule_id, row.origin, row.function_id) == ("nightly", "person", "reports::make")
    assert (row.expression, row.timezone) == ("0 30 2 * * mon-fri *", "Europe/Berlin")
    assert (row.payload, row.jitter_ms, row.is_enabled) == ('{"n":1.0}', 250, True)
    assert row.next_at is not None
    assert log() == [("nightly", ADDITION, "Added, due 0 30 2 * * mon-fri *")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"expression": "30 2 * * 1"}, "with seconds and year it is `0 30 2 * * MON *`."),
        ({"expression": ""}, "This field is required"),
        ({"timezone": "Europe/Berln"}, "did you mean `Europe/Berlin`?"),
        ({"payload": "{"}, "This is not JSON. Line 1, column 2"),
        ({"jitter_ms": "-1"}, "greater than or equal to 0"),
        ({"overlap": "never"}, "Select a valid choice"),
        ({"function_id": " "}, "This field is required"),
    ],
)
def test_what_cannot_be_a_schedule_is_told_and_kept_in_the_form(
    fields: dict[str, str], problem: str, admin_client: Client, crons: CronThread
) -> None:
    answer = admin_client.post(ADD, typed(**fields))

    assert problem in html.unescape(answer.text)
    assert 'value="nightly"' in answer.text
    assert not Schedule.objects.exists()
    assert log() == []


def test_an_id_that_is_taken_is_told(admin_client: Client, crons: CronThread) -> None:
    add_schedule("nightly", function_id="others::make")

    answer = admin_client.post(ADD, typed())

    assert "nightly" in html.unescape(re.findall(r'role="alert">(.*?)</div>', answer.text, re.S)[0])
    assert Schedule.objects.get().function_id == "others::make"


def test_a_schedule_of_a_person_is_changed_and_the_history_says_what(
    admin_client: Client, crons: CronThread
) -> None:
    admin_client.post(ADD, typed(payload='{"a": 1}'))
    row = Schedule.objects.get()
    change = f"{page(row)}change/"
    assert "reports::make" in text_of(admin_client, change)

    admin_client.post(change, typed(payload='{"a":  1}', overlap="allow", expression=SELDOM))

    row.refresh_from_db()
    assert (row.overlap, row.expression) == ("allow", SELDOM)
    line = (
        f"Changed expression “0 30 2 * * mon-fri *” → “{SELDOM}”, "
        "if it is due while it runs “skip” → “allow”"
    )
    assert log()[1:] == [("nightly", CHANGE, line)]
    assert line in part(admin_client, row)

    admin_client.post(change, typed(payload='{"a":1}', overlap="allow", expression=SELDOM))

    assert len(log()) == 2


def test_a_schedule_of_a_worker_is_its_workers_to_change(
    admin_client: Client, office: Office
) -> None:
    row = office.schedule("sweep", "orders::sweep")

    assert admin_client.get(f"{page(row)}change/")["location"] == page(row)
    assert admin_client.post(f"{page(row)}change/", typed()).status_code == 403
    text = part(admin_client, row)
    assert ">Change<" not in text
    assert ">Delete…<" not in text
    assert "Run now…" in text


def test_a_schedule_is_deleted_with_its_ticks_after_a_confirmation(
    admin_client: Client, crons: CronThread
) -> None:
    row = add_schedule()
    add_tick(row, NOON_MS)
    delete = f"{page(row)}delete/"
    assert "goes with all that is known of its runs" in text_of(admin_client, delete)

    answer = admin_client.post(delete)

    assert answer["location"] == SCHEDULES
    assert not Schedule.objects.exists()
    assert not Tick.objects.exists()
    assert log() == [("nightly", DELETION, f"Deleted, was due {SELDOM}")]


def test_a_schedule_that_a_worker_has_is_not_deleted(admin_client: Client, office: Office) -> None:
    row = office.schedule("sweep", "orders::sweep")

    admin_client.post(f"{page(row)}delete/")

    assert Schedule.objects.filter(pk=row.pk).exists()
    assert log() == []


# --- the preview --------------------------------------------------------------------------------


def test_an_expression_is_previewed_in_words_in_its_zone_and_in_utc(admin_client: Client) -> None:
    answer = admin_client.get(
        PREVIEW, {"expression": "0 30 9 1 7 * 2099", "timezone": "Europe/Berlin"}
    ).json()

    assert answer == {
        "description": "at 09:30 on 1 July in 2099",
        "timezone": "Europe/Berlin",
        "runs": [
            {
                "utc": "2099-07-01T07:30:00+00:00",
                "shown_utc": "Wed 2099-07-01 07:30:00 UTC",
                "local": "Wed 2099-07-01 09:30:00 CEST",
            }
        ],
    }


@pytest.mark.parametrize(
    ("query", "field", "error"),
    [
        ({"expression": "30 9 * * 1"}, "expression", "with seconds and year it is"),
        ({"expression": SELDOM, "timezone": "Mars"}, "timezone", "`mars` is unknown"),
        ({}, "expression", "the expression is empty"),
    ],
)
def test_what_is_wrong_with_an_expression_is_previewed(
    query: dict[str, str], field: str, error: str, admin_client: Client
) -> None:
    answer = admin_client.get(PREVIEW, query).json()

    assert answer["field"] == field
    assert error.casefold() in answer["error"].casefold()
