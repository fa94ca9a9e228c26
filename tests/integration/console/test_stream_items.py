"""The page of stream items: it shows rows and changes none."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client

from streams.models import StreamItem
from tests.integration.console.conftest import EngineThread

pytestmark = pytest.mark.django_db(databases=["default", "system"])

ITEMS = "/streams/streamitem/"


@pytest.fixture(autouse=True)
def engine(running: EngineThread) -> EngineThread:
    """The console asks the engine whether it serves streams."""
    return running


def put(stream: str, group: str, item: str, value: str, expires_at: int | None = None) -> int:
    """Write a row as the store does."""
    position = StreamItem.objects.count() + 1
    StreamItem.objects.create(
        position=position,
        stream_name=stream,
        group_id=group,
        item_id=item,
        value=value,
        version=position,
        expires_at=expires_at,
    )
    return position


def shown(client: Client, query: str = "") -> list[str]:
    text = client.get(f"{ITEMS}{query}").text
    return re.findall(r'change/[^>]*><code class="iii-id iii-nowrap">([^<]*)</code>', text)


def test_items_are_listed_newest_first_without_those_that_have_expired(
    admin_client: Client,
) -> None:
    put("chat", "g", "m1", '{"text":"hello"}')
    put("board", "h", "m2", "1")
    put("chat", "g", "gone", "1", expires_at=1)
    assert shown(admin_client) == ["m2", "m1"]
    assert shown(admin_client, "?q=hello") == ["m1"]
    assert shown(admin_client, "?stream_name=board") == ["m2"]


def test_one_item_is_shown_with_its_value(admin_client: Client) -> None:
    position = put("chat", "g", "m1", '{"text":"hello"}')
    text = admin_client.get(f"{ITEMS}{position}/change/").text
    assert "hello" in text
    assert "Save" not in text


@pytest.mark.parametrize("path", ["{}/change/", "{}/delete/", "add/", ""])
def test_no_row_can_be_changed(admin_client: Client, path: str) -> None:
    position = put("chat", "g", "m1", "1")
    answer = admin_client.post(f"{ITEMS}{path.format(position)}", {"action": "delete_selected"})
    assert answer.status_code == 403
    assert StreamItem.objects.count() == 1


def test_who_may_not_see_items_sees_none(staff_client: Callable[..., Client]) -> None:
    client = staff_client("kv.view_stateentry")
    assert client.get(ITEMS).status_code == 403
    assert ITEMS not in client.get("/").text
