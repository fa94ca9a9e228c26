"""Running, pausing and skipping from the console, and who may do it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.admin.models import CHANGE
from django.test import Client

from engine.models import Schedule
from kv.clock import now_ms
from tests.integration.console.conftest import EngineThread
from tests.integration.console.schedules.pages import (
    ADD,
    PREVIEW,
    SCHEDULES,
    TICK_LIST,
    State,
    log,
    page,
    part,
    text_of,
    typed,
)
from tests.integration.cron_thread import CronThread, Office, add_schedule, add_tick
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


# --- run, pause, skip ---------------------------------------------------------------------------


def test_a_schedule_is_run_now_with_a_payload_of_its_own(
    admin_client: Client, office: Office
) -> None:
    office.offer("orders::sweep")
    row = office.schedule("sweep", "orders::sweep")
    run = f"{page(row)}run/"
    assert "is called at once" in text_of(admin_client, run)
    assert "This is not JSON" in admin_client.post(run, {"payload": "{"}).text

    answer = admin_client.post(run, {"payload": '{"only": 1}'})

    assert answer["location"] == page(row)
    assert office.next_call()["data"] == {"only": 1}
    wait_until(lambda: "done" in part(admin_client, row), "the page shows its end")
    assert "asked for by hand" in part(admin_client, row)
    assert log() == [("sweep", CHANGE, "Asked for a run now with a payload of its own")]


def test_a_run_without_a_payload_gets_what_it_always_gets(
    admin_client: Client, office: Office
) -> None:
    office.offer("orders::sweep")
    row = office.schedule("sweep", "orders::sweep")

    admin_client.post(f"{page(row)}run/", {"payload": ""})

    data = office.next_call()["data"]
    assert (data["trigger"], data["manual"]) == ("cron", True)


def test_a_schedule_is_paused_and_resumed(admin_client: Client, crons: CronThread) -> None:
    row = add_schedule()
    pause = f"{page(row)}pause/"
    assert "its times pass without a call" in text_of(admin_client, pause)

    for _ in range(2):  # two people do the same
        admin_client.post(pause, {"wanted": "pause"})

    assert Schedule.objects.filter(is_paused=True).exists()
    assert "This schedule is paused" in part(admin_client, row)

    admin_client.post(pause, {"wanted": "resume"})

    assert not Schedule.objects.filter(is_paused=True).exists()
    assert [line for _, _, line in log()] == ["Paused", "Paused", "Resumed"]


def test_the_next_run_is_skipped_and_not_any_more(admin_client: Client, crons: CronThread) -> None:
    admin_client.post(ADD, typed(expression="0 0 9 1 7 * 2099", timezone="UTC"))
    row = Schedule.objects.get()
    skip = f"{page(row)}skip/"
    assert "Wed 2099-07-01 09:00:00 UTC" in text_of(admin_client, skip)

    admin_client.post(skip, {"wanted": "skip"})

    row.refresh_from_db()
    assert row.skip_until == row.next_at
    assert "Times up to Wed 2099-07-01 09:00:00 UTC are skipped." in part(admin_client, row)
    assert "Do not skip it" in text_of(admin_client, skip)

    admin_client.post(skip, {"wanted": "keep"})

    row.refresh_from_db()
    assert row.skip_until is None
    assert [line for _, _, line in log()][1:] == [
        "The next run is skipped, that of Wed 2099-07-01 09:00:00 UTC",
        "The next run is not skipped any more",
    ]


def test_an_engine_without_the_module_says_so(admin_client: Client, running: EngineThread) -> None:
    row = add_schedule()

    answer = admin_client.post(f"{page(row)}pause/", {"wanted": "pause"})

    assert "This engine runs without the cron module" in answer.text
    assert log() == []


# --- who may do it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "permission"),
    [("run", "run_schedule"), ("pause", "pause_schedule"), ("skip", "pause_schedule")],
)
def test_each_action_asks_for_its_permission(
    action: str,
    permission: str,
    staff_client: Callable[..., Client],
    admin_client: Client,
    crons: CronThread,
) -> None:
    row = add_schedule()
    client = staff_client("engine.view_schedule", f"engine.{permission}")

    text = part(client, row)
    buttons = {each for each in ("run", "pause", "skip") if f"/{each}/" in text}

    assert buttons == ({"run"} if action == "run" else {"pause", "skip"})
    assert client.get(f"{page(row)}{action}/").status_code == 200
    others = {"run", "pause", "skip"} - buttons
    for each in others:
        assert client.post(f"{page(row)}{each}/").status_code == 403


def test_who_may_only_look_sees_no_ticks_and_changes_nothing(
    staff_client: Callable[..., Client], crons: CronThread
) -> None:
    row = add_schedule()
    add_tick(row, now_ms(), State.FAILED, error="secret")
    client = staff_client("engine.view_schedule")

    assert "secret" not in text_of(client, SCHEDULES) + part(client, row)
    assert client.get(TICK_LIST).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, typed()).status_code == 403
    assert client.post(f"{page(row)}change/", typed()).status_code == 403
    assert client.post(f"{page(row)}delete/").status_code == 403
    assert client.get(PREVIEW).status_code == 403
    assert Schedule.objects.filter(pk=row.pk).exists()


def test_who_may_only_add_is_led_to_the_overview(
    staff_client: Callable[..., Client], crons: CronThread
) -> None:
    answer = staff_client("engine.add_schedule").post(ADD, typed(payload="null"))

    assert answer["location"] == "/"
    assert Schedule.objects.get().payload == ""


def test_a_post_without_a_token_is_refused(admin_client: Client, crons: CronThread) -> None:
    row = add_schedule()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies

    assert strict.post(f"{page(row)}pause/", {"wanted": "pause"}).status_code == 403
    row.refresh_from_db()
    assert not row.is_paused
