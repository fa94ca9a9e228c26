"""The admins of State and KV entries on a running engine with its database."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.admin.entry_filters import MAX_GROUPS, first_groups
from console.admin.entry_table import ROWS
from console.engine_calls import call
from engine.core.engine import Engine
from engine.core.modules import AdapterChoice
from engine.modules.worker.module import WorkerModule
from kv.adapters import KvStoreOptions, StateKvStore
from kv.models import KvEntry, StateEntry
from kv.server import KvServer
from kv.state import StateModule
from kv.stores.database import Database
from tests.fakes import make_engine
from tests.integration.console.conftest import EngineThread

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)

STATE = "/kv/stateentry/"
KV = "/kv/kventry/"


class StoreThread(EngineThread):
    """An engine with both modules, on the database of the tests or in memory."""

    def __init__(self, store_method: str = "file_based", **state: Any) -> None:
        self._options = KvStoreOptions.model_validate({"store_method": store_method})
        self._state = state
        self._database = Database.open(is_sqlite=True, description="tests")
        super().__init__()

    def _build(self) -> Engine:
        engine = make_engine(
            (WorkerModule, {"port": 49134}),
            (StateModule, {"adapter": AdapterChoice(StateKvStore, self._options), **self._state}),
            (KvServer, {"store_method": self._options.store_method}),
        )
        engine.provide(self._database)
        return engine

    async def _start(self) -> None:
        self._database.start()
        await self.engine.start()

    async def _stop(self) -> None:
        await self.engine.stop(0)
        await self._database.stop()


@pytest.fixture
def options() -> dict[str, Any]:
    """Options of the engine's stores; tests replace it."""
    return {}


@pytest.fixture
def engine_thread(transactional_db: None, options: dict[str, Any]) -> Iterator[StoreThread]:
    """The running engine of this process, with its stores."""
    with StoreThread(**options).in_charge() as thread:
        yield thread


@pytest.fixture
def put(engine_thread: StoreThread) -> Callable[..., int]:
    """Put a state entry as workers do; gives its version."""

    def put(scope: str, key: str, value: Any, **rest: Any) -> int:
        payload = {"scope": scope, "key": key, "value": value, "with_version": True, **rest}
        version: int = call("state::set", payload, dict[str, Any])["version"]
        return version

    return put


def state(key: str = "1") -> StateEntry:
    return StateEntry.objects.get(key=key)


def change_url(entry: StateEntry | KvEntry) -> str:
    return f"{STATE if isinstance(entry, StateEntry) else KV}{entry.pk}/change/"


def fields(page: Any) -> dict[str, str]:
    """Return what a browser would send back from a form."""
    text: str = page.text
    names = ("version", "address", "group", "key", "ttl_ms")
    found = {}
    for tag in re.findall(r"<input[^>]*>", text):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if attributes.get("name") in names:
            found[attributes["name"]] = html.unescape(attributes.get("value", ""))
    area = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", text, re.DOTALL)
    if area is not None:
        found["value"] = html.unescape(area[1])
    return found


def log() -> list[tuple[int, str]]:
    return [(each.action_flag, each.change_message) for each in LogEntry.objects.order_by("pk")]


def keys(client: Client, url: str = STATE) -> list[str]:
    text = client.get(url).text
    return re.findall(r'change/[^>]*><code class="iii-id iii-nowrap">([^<]*)</code>', text)


# --- the list ---------------------------------------------------------------------------------


def test_entries_are_listed_newest_first(admin_client: Client, put: Any) -> None:
    put("orders", "1", {"total": 5})
    put("orders", "2", "x" * 500)
    version = put("carts", "3", None, ttl_ms=10_000_000)

    page = admin_client.get(STATE).text

    assert keys(admin_client) == ["3", "2", "1"]
    assert "{&quot;total&quot;:5}" in page
    assert f"{'x' * 159}…" in page
    assert "x" * 160 not in page
    assert f"{version}</" in page
    assert "never" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?q=orders", ["2", "1"]),
        ("?q=total", ["1"]),
        ("?q=3", ["3"]),
        ("?q=nothing", []),
        ("?scope=carts", ["3"]),
        ("?expiry=expires", ["3"]),
        ("?expiry=never", ["2", "1"]),
    ],
)
def test_the_list_is_narrowed(
    query: str, expected: list[str], admin_client: Client, put: Any
) -> None:
    put("orders", "1", {"total": 5})
    put("orders", "2", None)
    put("carts", "3", None, ttl_ms=10_000_000)

    assert keys(admin_client, STATE + query) == expected


def test_the_list_shows_characters_for_their_escapes(admin_client: Client, put: Any) -> None:
    StateEntry.objects.create(scope="s", key="1", value=json.dumps("ü😀" * 200), version=1)

    text = admin_client.get(STATE).text

    assert f"&quot;{'ü😀' * 79}ü…" in text


@pytest.mark.parametrize(
    ("count", "pages"), [(1, [1]), (ROWS, [ROWS]), (ROWS + 1, [ROWS, 1]), (2 * ROWS, [ROWS, ROWS])]
)
def test_the_last_page_leads_nowhere(
    count: int, pages: list[int], admin_client: Client, transactional_db: None
) -> None:
    StateEntry.objects.bulk_create(
        StateEntry(scope="s", key=str(each), value="1", version=1) for each in range(count)
    )

    for number, rows in enumerate(pages, 1):
        url = f"{STATE}?p={number}"
        assert len(keys(admin_client, url)) == rows
        assert ('rel="next"' in admin_client.get(url).text) is (number < len(pages))
        assert ('rel="prev"' in admin_client.get(url).text) is (number > 1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "Workers add entries with <code>state::set</code>"),
        ("?q=x", "No such entry"),
        ("?p=3", "The list ends before this page"),
    ],
)
def test_an_empty_list_says_why(
    query: str, words: str, admin_client: Client, engine_thread: StoreThread
) -> None:
    text = admin_client.get(STATE + query).text

    assert words in text
    assert "yielded" not in text
    assert "9999999999" not in text


def test_expired_entries_are_not_shown(admin_client: Client, transactional_db: None) -> None:
    StateEntry.objects.create(scope="s", key="gone", value="1", version=1, expires_at=1)
    StateEntry.objects.create(scope="s", key="here", value="1", version=2)

    assert keys(admin_client) == ["here"]


def test_the_list_neither_counts_rows_nor_reads_whole_values(
    admin_client: Client, put: Any
) -> None:
    put("orders", "1", 1)

    with CaptureQueriesContext(connection) as queries:
        admin_client.get(STATE)

    rows = [each["sql"] for each in queries.captured_queries if "version" in each["sql"]]
    assert len(rows) == 1
    assert '"value",' not in rows[0].replace('SUBSTR("kv_stateentry"."value",', "")
    assert not any("COUNT(" in each["sql"] for each in queries.captured_queries)


def test_only_the_first_groups_are_choices(transactional_db: None) -> None:
    StateEntry.objects.bulk_create(
        StateEntry(scope=f"{number:03}", key=key, value="1", version=number)
        for number in range(MAX_GROUPS + 5)
        for key in "ab"
    )

    groups = first_groups(StateEntry.objects.all(), "scope")

    assert groups == [f"{number:03}" for number in range(MAX_GROUPS)]


# --- adding and changing ----------------------------------------------------------------------


def test_an_entry_is_added(admin_client: Client, engine_thread: StoreThread) -> None:
    form = fields(admin_client.get(f"{STATE}add/"))
    assert form["version"] == "0"

    typed = {"group": "orders", "key": "1", "value": '{\r\n "b": 1}', "ttl_ms": "90000"}
    answer = admin_client.post(f"{STATE}add/", {**form, **typed})

    entry = state()
    assert (answer.status_code, answer["location"]) == (302, STATE)
    assert (entry.scope, entry.value) == ("orders", '{"b":1}')
    assert entry.expires_at is not None
    assert log() == [(1, f"scope “orders”, key “1”: version none → {entry.version}")]


def test_a_value_is_shown_indented_and_kept_as_it_is_spelled(
    admin_client: Client, put: Any
) -> None:
    put("orders", "1", 0)
    form = fields(admin_client.get(change_url(state())))
    typed = '{"z": 1.0, "a": [123456789012345678901234567890, 1e2],\n "u": "\\u00fc"}'

    admin_client.post(change_url(state()), {**form, "value": typed})

    assert state().value == '{"z":1.0,"a":[123456789012345678901234567890,1e2],"u":"\\u00fc"}'
    shown = fields(admin_client.get(change_url(state())))["value"]
    assert '"u": "ü"' in shown
    assert shown.startswith('{\n  "z": 1.0,\n  "a": [\n    123456789012345678901234567890,\n')


@pytest.mark.parametrize(
    "value", ['{"a": "\\u00fc \\ud83d\\ude00",  "n": 1.0}', "[ ]", '"\\u202e"']
)
def test_saving_what_is_shown_changes_nothing(
    value: str, admin_client: Client, engine_thread: StoreThread
) -> None:
    call("state::set", {"scope": "s", "key": "1", "value": msgspec.Raw(value.encode())}, Any)
    before = state()

    answer = admin_client.post(
        change_url(before), fields(admin_client.get(change_url(before))), follow=True
    )

    assert "Nothing was changed, and nothing was written." in answer.text
    assert (state().value, state().version) == (before.value, before.version)
    assert before.value == value
    assert log() == []


def test_a_change_without_its_line_in_the_history_is_told(
    admin_client: Client, put: Any, broken_history: None
) -> None:
    put("orders", "1", 1)
    form = fields(admin_client.get(change_url(state())))

    answer = admin_client.post(change_url(state()), {**form, "value": "2"}, follow=True)

    assert answer.status_code == 200
    assert "was changed successfully" in answer.text
    assert "The change was made, but its history lacks a line for it: no room" in answer.text
    assert (state().value, log()) == ("2", [])


@pytest.fixture
def broken_history(transactional_db: None) -> Iterator[None]:
    """A database that takes no more lines of the history."""
    with connections["system"].cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER full BEFORE INSERT ON django_admin_log "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
        yield
        cursor.execute("DROP TRIGGER full")


def test_a_change_is_logged_and_heard_by_triggers(
    admin_client: Client, put: Any, engine_thread: StoreThread
) -> None:
    old = put("orders", "1", {"total": 5})
    worker = engine_thread.connect("shop")

    def listen() -> None:
        worker.function("shop::changed")
        worker.trigger("t", "state", "shop::changed", config={"scope": "orders"})
        worker.take()

    engine_thread.do(listen)
    form = fields(admin_client.get(change_url(state())))

    answer = admin_client.post(change_url(state()), {**form, "value": '{"total": 6}'})

    assert (answer.status_code, answer["location"]) == (302, STATE)
    (heard,) = engine_thread.do(worker.take)
    assert heard["function_id"] == "shop::changed"
    assert (heard["data"]["old_value"], heard["data"]["new_value"]) == ({"total": 5}, {"total": 6})
    assert log() == [(2, f"scope “orders”, key “1”: version {old} → {state().version}")]
    history = admin_client.get(f"{STATE}{state().pk}/history/").text
    assert f"version {old} → {state().version}" in history
    assert re.search(r"\s1 entry\s", history)


def test_a_change_keeps_the_expiry(admin_client: Client, put: Any) -> None:
    put("orders", "1", 1, ttl_ms=10_000_000)
    before = state().expires_at
    form = fields(admin_client.get(change_url(state())))

    admin_client.post(change_url(state()), {**form, "value": "2"})

    after = state().expires_at
    assert before is not None
    assert after is not None
    assert (state().value, abs(after - before) < 5_000) == ("2", True)


def test_no_view_begins_a_transaction_on_the_engines_database(
    admin_client: Client, put: Any
) -> None:
    put("orders", "1", 1)
    url = change_url(state())
    form = fields(admin_client.get(url))

    with CaptureQueriesContext(connection) as queries:
        admin_client.post(url, {**form, "value": "2"})
        delete = f"{STATE}{state().pk}/delete/"
        admin_client.post(delete, {"version": state().version})

    statements = {each["sql"].split()[0] for each in queries.captured_queries}
    assert statements == {"SELECT"}
    assert not StateEntry.objects.exists()


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ('{\r\n  "é": 1,\r\n  "b" 2\r\n}', "Line 3, column 7: expecting ':' delimiter."),
        ("[1, NaN]", "Line 1, column 5: invalid character."),
        ("[1", "Line 1, column 3: expecting ',' delimiter."),
        ('["\\ud800"]', "stands for half a character"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(
    typed: str, problem: str, admin_client: Client, put: Any
) -> None:
    put("orders", "1", 1)
    url = change_url(state())

    page = admin_client.post(url, {**fields(admin_client.get(url)), "value": typed})

    assert problem in html.unescape(page.text)
    assert fields(page)["value"] == typed
    assert (state().value, log()) == ("1", [])


@pytest.mark.parametrize("options", [{"max_value_bytes": 8}])
def test_a_refusal_of_the_engine_is_shown(admin_client: Client, put: Any) -> None:
    put("orders", "1", 1)
    url = change_url(state())

    page = admin_client.post(url, {**fields(admin_client.get(url)), "value": '"too long"'})

    assert "VALUE_TOO_LARGE: the value has 10 bytes; max_value_bytes allows 8" in page.text
    assert fields(page)["value"] == '"too long"'
    assert log() == []


def test_a_value_that_no_form_can_carry_is_shown_only(admin_client: Client, put: Any) -> None:
    put("orders", "1", "x" * 2_600_000)

    page = admin_client.get(change_url(state()))

    assert "too large to be edited" in page.text
    assert "value" not in fields(page)


def test_a_key_may_hold_any_character(admin_client: Client, put: Any) -> None:
    put("a/b", ' "<é>\n', 1)
    url = change_url(StateEntry.objects.get())

    admin_client.post(url, {**fields(admin_client.get(url)), "value": "2"})

    assert StateEntry.objects.get().value == "2"


def test_kv_entries_are_changed_by_the_kv_servers_functions(
    admin_client: Client, engine_thread: StoreThread
) -> None:
    call("kv_server::set", {"index": "i", "key": "1", "value": [1]}, dict[str, Any])
    entry = KvEntry.objects.get()
    form = fields(admin_client.get(change_url(entry)))

    admin_client.post(change_url(entry), {**form, "value": "[2]"})

    payload = {"index": "i", "key": "1"}
    assert keys(admin_client, KV) == ["1"]
    assert call("kv_server::get", payload, list[int]) == [2]
    version = KvEntry.objects.get().version
    assert admin_client.post(f"{KV}{entry.pk}/delete/", {"version": version}).status_code == 302
    assert call("kv_server::get", payload, object) is None


# --- conflicts --------------------------------------------------------------------------------


def test_a_change_in_between_is_shown_beside_the_users_and_may_be_replaced(
    admin_client: Client, put: Any
) -> None:
    old = put("orders", "1", {"total": 5})
    url = change_url(state())
    form = fields(admin_client.get(url))
    new = put("orders", "1", {"total": 6})

    page = admin_client.post(url, {**form, "value": '{"total": 7}'})

    assert f"version {old} is now version {new}" in page.text
    assert "&quot;total&quot;: 6" in page.text
    assert fields(page)["value"] == '{"total": 7}'
    assert (state().value, log()) == ('{"total":6}', [])

    admin_client.post(url, fields(page))

    assert state().value == '{"total":7}'
    assert log() == [(2, f"scope “orders”, key “1”: version {new} → {state().version}")]


def test_an_entry_deleted_in_between_may_be_written_anew(admin_client: Client, put: Any) -> None:
    put("orders", "1", 5)
    url = change_url(state())
    form = fields(admin_client.get(url))
    call("state::delete", {"scope": "orders", "key": "1"}, object)

    page = admin_client.post(url, {**form, "value": "7"})

    assert "deleted this entry" in page.text
    assert '<code class="iii-id">orders</code> / <code class="iii-id">1</code>' in page.text
    assert "history" not in page.text
    assert (fields(page)["version"], fields(page)["value"]) == ("0", "7")

    assert admin_client.post(url, fields(page)).status_code == 302
    assert state().value == "7"


def test_adding_what_exists_shows_it(admin_client: Client, put: Any) -> None:
    version = put("orders", "1", 5)
    typed = {"version": "0", "group": "orders", "key": "1", "value": "7", "ttl_ms": "90000"}

    page = admin_client.post(f"{STATE}add/", typed)

    assert f"There is such an entry already, version {version}." in page.text
    assert fields(page) == {**typed, "version": str(version)}
    assert state().value == "5"

    admin_client.post(f"{STATE}add/", fields(page))

    assert state().value == "7"


# --- deleting ---------------------------------------------------------------------------------


def test_an_entry_is_deleted_after_a_question(admin_client: Client, put: Any) -> None:
    version = put("orders", "1", 5)
    url = f"{STATE}{state().pk}/delete/"
    form = fields(admin_client.get(url))
    assert form == {"version": str(version)}

    answer = admin_client.post(url, form)

    assert (answer.status_code, answer["location"]) == (302, STATE)
    assert keys(admin_client) == []
    assert log() == [(3, f"scope “orders”, key “1”: version {version} → none")]


def test_what_was_changed_since_the_question_is_not_deleted(admin_client: Client, put: Any) -> None:
    put("orders", "1", 5)
    url = f"{STATE}{state().pk}/delete/"
    form = fields(admin_client.get(url))
    new = put("orders", "1", 6)

    page = admin_client.post(url, form)

    assert "has been changed meanwhile" in page.text
    assert fields(page) == {"version": str(new)}
    assert (state().value, log()) == ("6", [])


def test_chosen_entries_are_deleted_but_for_those_that_changed(
    admin_client: Client, put: Any
) -> None:
    for key in "123":
        put("orders", key, 1)
    chosen = {"action": "delete_selected", "_selected_action": [state("1").pk, state("2").pk]}
    page = admin_client.post(STATE, chosen).text
    versions = dict(re.findall(r'name="(version-\d+)" value="(\d+)"', page))
    assert len(versions) == 2
    put("orders", "2", 2)

    page = admin_client.post(STATE, {**chosen, **versions, "confirmed": "1"}, follow=True).text

    assert keys(admin_client) == ["3", "2"]
    assert "1 entry deleted." in page
    assert "orders / 2: The entry has been changed meanwhile." in page
    assert [flag for flag, _ in log()] == [3]


# --- permissions ------------------------------------------------------------------------------


def test_staff_without_permission_sees_nothing(staff_client: Any, put: Any) -> None:
    put("orders", "1", 1)
    client = staff_client("kv.view_kventry")

    for path in (STATE, change_url(state()), f"{STATE}add/", f"{STATE}{state().pk}/delete/"):
        assert client.get(path).status_code == 403
        assert client.post(path, {"value": "2", "version": "1"}).status_code == 403
    assert STATE not in client.get(KV).text


def test_who_may_view_can_change_nothing(staff_client: Any, put: Any) -> None:
    version = put("orders", "1", {"total": 5})
    client = staff_client("kv.view_stateentry")
    url = change_url(state())

    page = client.get(url)

    assert "&quot;total&quot;: 5" in page.text
    assert "value" not in fields(page)
    address = json.dumps(["orders", "1"])
    form = {"version": version, "value": "2", "address": address}
    assert client.post(url, form).status_code == 403
    assert keys(client) == ["1"]


def test_who_may_change_cannot_add_what_was_deleted(staff_client: Any, put: Any) -> None:
    put("orders", "1", 5)
    client = staff_client("kv.view_stateentry", "kv.change_stateentry")
    url = change_url(state())
    form = fields(client.get(url))
    call("state::delete", {"scope": "orders", "key": "1"}, object)

    page = client.post(url, {**form, "value": "7"})

    assert "Write mine" not in page.text
    assert client.post(url, fields(page)).status_code == 403
    assert not StateEntry.objects.exists()


def test_who_may_add_only_sees_no_value(staff_client: Any, put: Any) -> None:
    put("orders", "1", "secret")
    client = staff_client("kv.add_stateentry")
    typed = {"version": "0", "group": "orders", "key": "1", "value": "7", "ttl_ms": ""}

    page = client.post(f"{STATE}add/", typed)

    assert "There is such an entry already" in page.text
    assert "you may not see it" in page.text
    assert "secret" not in page.text


# --- without an engine ------------------------------------------------------------------------


def test_without_an_engine_entries_are_shown_and_nothing_is_lost(
    admin_client: Client, transactional_db: None
) -> None:
    StateEntry.objects.create(scope="s", key="1", value="1", version=1)
    url = change_url(state())

    page = admin_client.post(url, {**fields(admin_client.get(url)), "value": "2"})

    for shown in (page, admin_client.get(STATE), admin_client.get(url)):
        assert "No engine runs in this process" in shown.text
    assert fields(page)["value"] == "2"
    assert state().value == "1"
    assert connections["default"].in_atomic_block is False


def test_without_the_module_pages_say_so(running: EngineThread, admin_client: Client) -> None:
    page = admin_client.get(STATE)

    assert "runs without the module modules::state::StateModule" in page.text


@pytest.mark.parametrize("options", [{"store_method": "in_memory"}])
def test_of_entries_in_memory_pages_say_where_they_are(
    engine_thread: StoreThread, admin_client: Client
) -> None:
    typed = {"version": "0", "group": "orders", "key": "1", "value": "7", "ttl_ms": ""}

    assert "store_method: in_memory" in admin_client.get(STATE).text
    assert "store_method: in_memory" in admin_client.post(f"{STATE}add/", typed).text
