"""The admin of triggers, which shows and changes nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from engine.models import Trigger

pytestmark = pytest.mark.django_db(databases=["default", "system"])

URL = "/engine/trigger/"
NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)


def row(trigger_id: str, **values: Any) -> Trigger:
    return Trigger.objects.create(
        **{
            "identity": trigger_id,
            "trigger_id": trigger_id,
            "trigger_type": "http",
            "function_id": f"shop::{trigger_id}",
            "config": '{"api_path":"/p"}',
            "state": Trigger.State.ACTIVE,
            "is_owned": True,
            "owner_name": "shop",
            "registered_at": NOW,
            **values,
        }
    )


@pytest.fixture
def rows() -> list[Trigger]:
    return [
        row("price"),
        row("stock", trigger_type="queue", state=Trigger.State.PENDING),
        row("gone", detached_at=NOW),
        row("orphan", is_owned=False, owner_name=""),
        row("wrong", state=Trigger.State.FAILED, error='{"code":"x","message":"why"}'),
    ]


def shown(client: Client, query: str = "") -> set[str]:
    text = client.get(URL + query).text
    return {each for each in ("price", "stock", "gone", "orphan", "wrong") if f"::{each}<" in text}


def test_triggers_are_listed_with_owner_and_state(admin_client: Client, rows: Any) -> None:
    text = admin_client.get(URL).text

    assert shown(admin_client) == {"price", "stock", "gone", "orphan", "wrong"}
    for value in ("active", "pending", "failed", "detached", "nobody", "2026-03-04 05:06:07"):
        assert value in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?state=active", {"price", "orphan"}),
        ("?state=failed", {"wrong"}),
        ("?owner=here", {"price", "stock", "wrong"}),
        ("?owner=gone", {"gone"}),
        ("?owner=nobody", {"orphan"}),
        ("?trigger_type=queue", {"stock"}),
        ("?q=shop::pri", {"price"}),
        ("?q=api_path", {"price", "stock", "gone", "orphan", "wrong"}),
    ],
)
def test_the_list_is_narrowed(
    query: str, expected: set[str], admin_client: Client, rows: Any
) -> None:
    assert shown(admin_client, query) == expected


def test_one_trigger_is_shown_with_readable_json(admin_client: Client, rows: Any) -> None:
    text = admin_client.get(f"{URL}{rows[4].pk}/change/").text

    assert "{\n  &quot;api_path&quot;: &quot;/p&quot;\n}" in text
    assert "&quot;message&quot;: &quot;why&quot;" in text
    assert "Save" not in text
    assert "history" not in text


@pytest.mark.parametrize("action", ["change/", "delete/", "../add/", "../"])
def test_a_change_is_refused_before_a_transaction_begins(
    action: str, admin_client: Client, rows: Any
) -> None:
    path = {"../add/": f"{URL}add/", "../": URL}.get(action, f"{URL}{rows[0].pk}/{action}")

    with CaptureQueriesContext(connection) as queries:
        answer = admin_client.post(path, {"function_id": "other", "action": "delete_selected"})

    assert answer.status_code == 403
    assert queries.captured_queries == []
    assert Trigger.objects.count() == 5


def test_staff_needs_the_permission(staff_client: Any, rows: Any) -> None:
    assert staff_client("auth.view_user").get(URL).status_code == 403


def test_the_permission_is_enough(staff_client: Any, rows: Any) -> None:
    assert shown(staff_client("engine.view_trigger"), "?state=failed") == {"wrong"}
