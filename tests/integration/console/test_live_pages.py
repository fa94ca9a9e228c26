"""The pages about what has no table, with the data of a real engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from console.live import page
from tests.integration.console.conftest import EngineThread

pytestmark = pytest.mark.django_db(databases=["default", "system"])

PAGES = {
    "/live/workers/": "console.view_workers",
    "/live/workers/worker/?id=x": "console.view_workers",
    "/live/functions/": "console.view_functions",
    "/live/functions/function/?id=x": "console.view_functions",
    "/live/trigger-types/": "console.view_trigger_types",
    "/live/trigger-types/trigger-type/?id=x": "console.view_trigger_types",
}

FORMAT = {"type": "object", "required": ["item"]}


@pytest.fixture
def shop(running: EngineThread) -> Any:
    """A worker with two functions, a trigger and a trigger type."""
    worker = running.connect("shop", runtime="node", version="0.22.1", pid=42)

    def register() -> None:
        worker.function("shop::price", description="What an item costs", request_format=FORMAT)
        worker.function("shop::a/b?c=<d>&e", metadata={"team": "x"})
        worker.trigger("t", "http", "shop::price", config={"api_path": "/p", "http_method": "GET"})
        worker.send("registertriggertype", id="webhook", description="Calls from outside")

    running.do(register)
    return worker


def part(client: Client, path: str) -> Any:
    """Fetch what the page's script fetches."""
    separator = "&" if "?" in path else "?"
    return client.get(f"{path}{separator}part=1")


# --- who may see them ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_who_is_not_logged_in_is_sent_to_the_login(
    path: str, client: Client, running: EngineThread
) -> None:
    answer = client.get(path)

    assert answer.status_code == 302
    assert answer["location"].startswith("/login/?next=/live/")


@pytest.mark.parametrize("path", PAGES)
def test_staff_without_the_permission_is_refused(
    path: str, staff_client: Callable[..., Client], running: EngineThread
) -> None:
    others = [each for each in PAGES.values() if each != PAGES[path]]
    client = staff_client(*others)

    assert client.get(path).status_code == 403
    answer = part(client, path)
    assert answer.status_code == 403
    assert "You may not see this" in answer.text


@pytest.mark.parametrize(("path", "permission"), PAGES.items())
def test_staff_with_the_permission_is_let_in(
    path: str, permission: str, staff_client: Callable[..., Client], running: EngineThread
) -> None:
    assert staff_client(permission).get(path).status_code == 200


def test_the_sidebar_and_the_overview_show_what_one_may_see(
    staff_client: Callable[..., Client], running: EngineThread
) -> None:
    text = staff_client("console.view_workers").get("/").text

    assert 'href="/live/workers/"' in text
    for hidden in ("/live/functions/", "/live/trigger-types/", "/engine/trigger/", "/auth/user/"):
        assert f'href="{hidden}"' not in text


def test_who_may_see_nothing_live_is_led_to_the_menu(
    staff_client: Callable[..., Client], running: EngineThread
) -> None:
    text = staff_client("kv.view_stateentry").get("/").text

    assert "What your account may see stands in the menu." in text


# --- what they show -----------------------------------------------------------------------------


def test_workers_are_listed(admin_client: Client, shop: Any) -> None:
    text = part(admin_client, "/live/workers/").text

    for shown in ("shop", "node 0.22.1", "available", "127.0.0.1", "pid 42", "1 worker"):
        assert shown in text
    assert "<html" not in text


def test_the_engines_own_modules_are_listed_when_asked_for(admin_client: Client, shop: Any) -> None:
    assert "iii-worker-manager" not in admin_client.get("/live/workers/").text
    assert "iii-worker-manager" in admin_client.get("/live/workers/?internal=1").text


def test_a_worker_is_described(admin_client: Client, shop: Any) -> None:
    path = f"/live/workers/worker/?id={shop.session.worker_id}&namespace=default&name=shop"

    text = admin_client.get(path).text

    for shown in ("shop::price", "webhook", "&quot;api_path&quot;: &quot;/p&quot;", "active"):
        assert shown in text


def test_functions_are_listed_and_found(admin_client: Client, shop: Any) -> None:
    everything = part(admin_client, "/live/functions/").text
    assert "2 functions" in everything
    assert "shop::a/b?c=&lt;d&gt;&amp;e" in everything

    found = part(admin_client, "/live/functions/?q=COSTS").text
    assert "1 function with “COSTS”" in found
    assert "shop::a/b" not in found

    assert "Nothing with “zzz”" in part(admin_client, "/live/functions/?q=zzz").text


def test_a_function_is_described_with_readable_formats(admin_client: Client, shop: Any) -> None:
    text = admin_client.get("/live/functions/function/?id=shop::price&namespace=default").text

    for shown in (
        "What an item costs",
        "Request format",
        "{\n  &quot;type&quot;: &quot;object&quot;,\n",
        "&quot;api_path&quot;: &quot;/p&quot;",
    ):
        assert shown in text


def test_a_link_leads_to_a_function_of_any_id(admin_client: Client, shop: Any) -> None:
    listed = part(admin_client, "/live/functions/").text
    href = next(each for each in listed.split('"') if "function/?id=shop%3A%3Aa" in each)

    text = part(admin_client, href.replace("&amp;", "&")).text

    assert "&quot;team&quot;: &quot;x&quot;" in text


def test_trigger_types_are_listed_with_their_triggers(admin_client: Client, shop: Any) -> None:
    text = part(admin_client, "/live/trigger-types/").text

    assert "2 trigger types" in text
    assert "Calls from outside" in text
    assert '<td data-label="Triggers" class="iii-number">1</td>' in text
    assert "engine::" not in text
    internal = part(admin_client, "/live/trigger-types/?internal=1").text
    assert "engine::functions-available" in internal


def test_a_trigger_type_is_described(admin_client: Client, running: EngineThread) -> None:
    text = part(admin_client, "/live/trigger-types/trigger-type/?id=http&namespace=default").text

    assert "Config of a trigger" in text
    assert "api_path" in text


def test_the_overview_counts(admin_client: Client, shop: Any) -> None:
    text = " ".join(part(admin_client, "/").text.split())

    for name, count in (("Workers", 1), ("Functions", 2), ("Trigger types", 2), ("Triggers", 0)):
        assert f'{name}</span> <span class="iii-figure">{count}</span>' in text
    assert "Connect a first worker" not in text


def test_a_long_list_is_cut_and_says_so(
    admin_client: Client, shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_ROWS", 1)

    text = part(admin_client, "/live/functions/").text

    assert "2 functions, the first 1 are shown; search to see others" in text


# --- when there is nothing to show --------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/live/workers/", "No worker is connected"),
        ("/live/functions/", "No worker has registered a function"),
        ("/", "Connect a first worker"),
    ],
)
def test_an_empty_page_says_what_to_do(
    path: str, title: str, admin_client: Client, running: EngineThread
) -> None:
    text = admin_client.get(path, headers={"host": "localhost:3113"}).text

    assert title in text
    assert "registerWorker(\n  'ws://localhost:49134',\n" in text


def test_what_has_gone_is_missed_in_words(admin_client: Client, shop: Any) -> None:
    answer = part(admin_client, "/live/functions/function/?id=nope")

    assert answer.status_code == 200
    assert "function nope does not exist in default" in answer.text


@pytest.mark.parametrize("path", ["/", *PAGES])
def test_without_an_engine_the_page_says_so(path: str, admin_client: Client) -> None:
    answer = admin_client.get(path)

    assert answer.status_code == 200
    assert "No engine runs in this process" in answer.text
    assert part(admin_client, path).status_code == 503
