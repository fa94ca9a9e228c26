"""The pages of schedules and their ticks, on a running engine with its database."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.admin import ticks as tick_admin
from console.schedule_rows import STRIP, TICKS
from engine.apps import set_engine
from engine.models import Schedule, Tick
from kv.clock import now_ms
from tests.integration.console.conftest import EngineThread
from tests.integration.cron_thread import SELDOM, CronThread, Office, add_schedule, add_tick
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)

SCHEDULES: Final = "/engine/schedule/"
TICK_LIST: Final = "/engine/tick/"
ADD: Final = "/engine/schedule/add/"
PREVIEW: Final = "/engine/schedule/preview/"

MINUTE_MS: Final = 60_000
NOON_MS: Final = 1_771_416_000_000
"""2026-02-18 12:00:00 UTC: ticks of then are deleted where an engine runs."""

State = Tick.State


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


def page(row: Schedule) -> str:
    return f"{SCHEDULES}{row.pk}/"


def text_of(client: Client, path: str) -> str:
    """Fetch a page, with single spaces."""
    answer = client.get(path)
    assert answer.status_code == 200, answer
    return html.unescape(" ".join(answer.text.split()))


def part(client: Client, row: Schedule, query: str = "") -> str:
    """Fetch what the script of a schedule's page fetches."""
    return text_of(client, f"{page(row)}?part=1{query}")


def log() -> list[tuple[str, int, str]]:
    lines = LogEntry.objects.order_by("pk")
    return [(each.object_repr, each.action_flag, each.change_message) for each in lines]


def typed(**fields: Any) -> dict[str, Any]:
    """Return what a browser sends for the form of a new schedule."""
    return {
        "schedule_id": "nightly",
        "function_id": "reports::make",
        "expression": "0 30 2 * * mon-fri *",
        "timezone": "Europe/Berlin",
        "payload": "",
        "overlap": "skip",
        "misfire": "skip",
        "jitter_ms": "0",
        "timeout_ms": "0",
        "condition_function_id": "",
        "namespace": "",
        "is_enabled": "on",
        **fields,
    }


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


# --- ticks --------------------------------------------------------------------------------------


def test_ticks_are_listed_and_filtered(admin_client: Client) -> None:
    row, other = add_schedule(), add_schedule("sweep", function_id="orders::sweep")
    now = now_ms()
    add_tick(row, now, State.FAILED, error="no_money: none left")
    add_tick(row, now - 40 * 86_400_000, State.MISSED, reason=Tick.Reason.NO_WORKER)
    add_tick(other, now - 86_400_000, is_manual=True)

    def listed(query: str) -> int:
        text = text_of(admin_client, TICK_LIST + query)
        return len(re.findall(r"tick/\d+/change/", text))

    assert listed("") == listed("?state=nonsense") == 3
    assert listed("?state=failed") == listed("?state=missed") == 1
    assert listed("?reason=no_worker") == 1
    assert listed(f"?schedule={row.pk}") == 2
    assert listed(f"?schedule={other.pk}&state=failed") == listed("?schedule=99") == 0
    assert listed("?day=week") == 2
    assert listed("?day=yesterday") == listed("?day=today") == 1
    assert listed("?manual=yes") == 1
    assert listed("?manual=no") == 2
    assert listed("?q=orders::") == listed("?q=none+left") == 1


def test_of_all_schedules_the_newest_ticks_are_looked_at(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick_admin, "WINDOW", 2)
    row = add_schedule()
    add_tick(row, NOON_MS, State.FAILED)
    for number in range(1, 3):
        add_tick(row, NOON_MS + number)

    everything = text_of(admin_client, f"{TICK_LIST}?state=failed")
    of_one = text_of(admin_client, f"{TICK_LIST}?state=failed&schedule={row.pk}")

    assert "/change/" not in everything
    assert "ticks are looked at" in everything
    assert "/change/" in of_one
    assert "ticks are looked at" not in of_one


def test_a_tick_is_shown_with_all_that_is_known_of_it(admin_client: Client) -> None:
    row = add_schedule()
    tick = add_tick(
        row,
        NOON_MS,
        State.FAILED,
        error="no_money: none left\nTraceback",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        payload='{"n":1}',
        is_manual=True,
    )

    text = text_of(admin_client, f"{TICK_LIST}{tick.pk}/change/")

    assert "2026-02-18 12:00:00 UTC" in text
    assert "2026-02-18 12:00:00.005 UTC" in text
    assert "no_money: none left Traceback" in text
    assert '<code class="iii-id iii-copied">0af7651916cd43dd8448eb211c80319c</code>' in text
    assert '{ "n": 1 }' in text
    assert f'href="{page(row)}"' in text
    assert "/live/functions/function/?id=reports%3A%3Amake" in text
    assert admin_client.post(f"{TICK_LIST}{tick.pk}/change/").status_code == 403


def test_the_overview_counts_schedules_and_failures(
    admin_client: Client, running: EngineThread
) -> None:
    row = add_schedule()
    add_schedule("over", ended_at=1, next_at=None, due_at=None)
    add_tick(row, now_ms() - MINUTE_MS, State.FAILED)
    add_tick(row, NOON_MS, State.FAILED)

    text = text_of(admin_client, "/?part=1")

    assert 'Schedules</span> <span class="iii-figure">1</span>' in text
    assert '<span class="iii-bad-text">1 failed</span> in the last day' in text
