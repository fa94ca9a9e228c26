"""The list of ticks, the page of one, and what the overview counts of them."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from console.admin import ticks as tick_admin
from engine.models import Tick
from kv.clock import now_ms
from tests.integration.console.conftest import EngineThread
from tests.integration.console.schedules.pages import (
    MINUTE_MS,
    NOON_MS,
    TICK_LIST,
    State,
    page,
    text_of,
)
from tests.integration.cron_thread import add_schedule, add_tick

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)


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
