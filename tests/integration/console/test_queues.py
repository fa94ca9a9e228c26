"""The pages of queues and their messages, on a running engine with its database."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.test import Client

from engine.models import Delivery
from tests.integration.console.conftest import EngineThread
from tests.integration.queue_thread import QueueThread, Shop, enqueue, figures
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(databases=["default", "system"], transaction=True)

QUEUES = "/live/queues/"
QUEUE = "/live/queues/queue/?kind=topic&name=orders"
PAUSE = "/live/queues/queue/pause/?kind=topic&name=orders"
PUBLISH = "/live/queues/queue/publish/?kind=topic&name=orders"
REDRIVE = "/live/queues/queue/redrive/?kind=topic&name=orders"
DISCARD = "/live/queues/queue/discard/?kind=topic&name=orders"
MESSAGES = "/engine/delivery/"

DEAD = Delivery.State.DEAD


@pytest.fixture
def store_method() -> str:
    """Where the engine keeps its messages; tests replace it."""
    return "file_based"


@pytest.fixture
def queues(transactional_db: None, store_method: str) -> Iterator[QueueThread]:
    """The running engine of this process, with queues."""
    with QueueThread(store_method).in_charge() as thread:
        yield thread


@pytest.fixture
def shop(queues: QueueThread) -> Shop:
    return Shop(queues)


@pytest.fixture
def dead(shop: Shop) -> Shop:
    """The topic `orders` with a dead letter of each of two functions, which are not there."""
    shop.subscribe("shop::bill")
    shop.subscribe("shop::mail")
    enqueue({"id": 1})
    wait_until(lambda: figures()["dlq_depth"] == 2, "both have died")
    return shop


def part(client: Client, path: str) -> str:
    """Fetch what the page's script fetches, with single spaces."""
    text: str = client.get(f"{path}{'&' if '?' in path else '?'}part=1").text
    return html.unescape(" ".join(text.split()))


def log() -> list[tuple[str, int, str]]:
    lines = LogEntry.objects.order_by("pk")
    return [(str(each.object_id), each.action_flag, each.change_message) for each in lines]


def dead_ids(**narrow: Any) -> list[int]:
    rows = Delivery.objects.filter(state=DEAD, **narrow)
    return list(rows.order_by("pk").values_list("pk", flat=True))


# --- what is shown ------------------------------------------------------------------------------


def test_every_queue_is_listed_with_its_figures(admin_client: Client, dead: Shop) -> None:
    text = part(admin_client, QUEUES)

    assert "queues" in text
    row = text[text.index(">orders<") :]
    assert '<td data-label="Dead" class="iii-number"><span class="iii-bad-text">2</span>' in row
    assert '<td data-label="Subscribers" class="iii-number">2</td>' in row
    assert "named queue" in text[text.index(">payment<") :]


def test_queues_are_found_by_name(admin_client: Client, dead: Shop) -> None:
    text = part(admin_client, f"{QUEUES}?q=ORD")

    assert "1 queue with “ORD”" in text
    assert "payment" not in text


def test_a_queue_shows_who_subscribes_and_how(admin_client: Client, shop: Shop) -> None:
    shop.subscribe("shop::bill", maxRetries=4, backoffDelayMs=2_000, backoffType="fixed")
    shop.subscribe("shop::mail", type="fifo", concurrency=3, visibilityTimeout=30, delaySeconds=5)

    text = part(admin_client, QUEUE)

    assert text.count(">attached<") == 2
    assert "standard, 10 at once" in text
    assert '5 attempts<span class="iii-note">2 s between them</span>' in text
    assert "FIFO, 3 groups at once" in text
    assert "an attempt may take 30 s" in text
    assert "every message waits 5 s first" in text


def test_a_subscriber_whose_worker_is_away_is_told(admin_client: Client, shop: Shop) -> None:
    shop.subscribe("shop::bill")
    shop.leave()

    wait_until(lambda: "worker away" in part(admin_client, QUEUE), "the page tells of it")
    assert "it keeps receiving for 7 d" in part(admin_client, QUEUE)


def test_dead_letters_are_grouped_by_function_and_error(admin_client: Client, dead: Shop) -> None:
    enqueue({"id": 2})
    wait_until(lambda: figures()["dlq_depth"] == 4, "they have died")

    text = part(admin_client, QUEUE)

    for function_id in ("shop::bill", "shop::mail"):
        assert re.search(
            rf'<span class="iii-bad-text">2</span></td> <td[^>]*><code class="iii-id">{function_id}'
            rf"</code></td> <td[^>]*><code class=.iii-id.>[^<]*function_not_found",
            text,
        )


def test_a_queue_that_does_not_exist_is_missed_in_words(
    admin_client: Client, queues: QueueThread
) -> None:
    assert "The topic orders has neither messages nor subscribers" in part(admin_client, QUEUE)
    assert admin_client.get("/live/queues/queue/?kind=other&name=x").status_code == 404


def test_messages_are_listed_and_filtered(admin_client: Client, dead: Shop) -> None:
    enqueue({"id": 2}, delay_ms=1_000_000)

    def listed(query: str) -> int:
        return len(re.findall(r"delivery/\d+/change/", admin_client.get(MESSAGES + query).text))

    assert listed("") == 4
    assert listed("?state=dead") == listed("?state=dead&q=shop") == 2
    assert listed("?state=delayed&queue=topic:orders") == 2
    assert listed("?state=waiting") == listed("?state=in-flight") == 0
    assert listed("?queue=topic:others") == 0
    assert listed("?q=shop::mail") == 2
    assert listed("?state=nonsense") == 4


def test_a_message_is_shown_with_its_attempts(admin_client: Client, dead: Shop) -> None:
    text = html.unescape(admin_client.get(f"{MESSAGES}{dead_ids()[0]}/change/").text)

    assert '{\n  "id": 1\n}' in text
    assert "dead letter" in text
    assert "Attempt 1, <span" in text
    assert text.count("function_not_found") == 2


def test_the_overview_counts_queues_and_what_has_died(admin_client: Client, dead: Shop) -> None:
    assert '0 messages on the way, <span class="iii-bad-text">2 dead</span>' in part(
        admin_client, "/"
    )


# --- pause, publish -----------------------------------------------------------------------------


def test_a_paused_queue_takes_messages_in_and_delivers_none(
    admin_client: Client, shop: Shop
) -> None:
    shop.subscribe("shop::bill")
    shop.offer("shop::bill")
    assert "messages are taken in and kept" in admin_client.get(PAUSE).text

    answer = admin_client.post(PAUSE, {"wanted": "pause"})
    enqueue({"id": 1})

    assert answer["location"] == QUEUE
    assert "This queue is paused" in part(admin_client, QUEUE)
    assert (figures()["paused"], figures()["waiting"]) == (True, 1)

    admin_client.post(PAUSE, {"wanted": "resume"})

    assert shop.next_call()["data"] == {"id": 1}
    assert log() == [("topic:orders", CHANGE, "Paused"), ("topic:orders", CHANGE, "Resumed")]


def test_two_who_pause_a_queue_do_not_resume_it(admin_client: Client, dead: Shop) -> None:
    for _ in range(2):
        admin_client.post(PAUSE, {"wanted": "pause"})

    assert figures()["paused"] is True


def test_a_message_is_published_after_a_confirmation(admin_client: Client, shop: Shop) -> None:
    shop.subscribe("shop::bill")
    shop.offer("shop::bill")
    typed = {"payload": '{"id": 1.0}', "message_group": "", "delay_ms": ""}

    asked = admin_client.post(PUBLISH, typed)

    assert "This will be sent" in asked.text
    assert "shop::bill" in asked.text
    assert figures()["depth"] == figures()["delivered"] == 0

    sent = admin_client.post(PUBLISH, {**typed, "confirmed": "1"})

    assert sent["location"] == QUEUE
    frame = shop.next_call()
    assert frame["data"] == {"id": 1.0}
    ((queue, _, line),) = log()
    assert (queue, line) == ("topic:orders", f"Published message {frame['metadata']['message_id']}")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ({"payload": "{"}, "This is not JSON. Line 1, column 2"),
        ({"payload": "1", "delay_ms": "-1"}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_published_is_told(
    typed: dict[str, str], problem: str, admin_client: Client, dead: Shop
) -> None:
    answer = admin_client.post(PUBLISH, {**typed, "confirmed": "1"})

    assert problem in answer.text
    assert figures()["depth"] == 0
    assert log() == []


def test_nothing_is_published_to_a_named_queue(admin_client: Client, queues: QueueThread) -> None:
    path = "/live/queues/queue/publish/?kind=named&name=payment"
    assert admin_client.get(path).status_code == 404


# --- dead letters -------------------------------------------------------------------------------


def test_dead_letters_are_redriven_by_function_and_error(admin_client: Client, dead: Shop) -> None:
    dead.offer("shop::mail")
    path = f"{REDRIVE}&function_id=shop::mail&error=NOT_FOUND"

    page = admin_client.get(path).text
    assert "Redrive 1 dead letter" in page
    answer = admin_client.post(path, {"count": "1"})

    assert answer["location"] == QUEUE
    frame = dead.next_call()
    assert (frame["function_id"], frame["data"]) == ("shop::mail", {"id": 1})
    assert dead_ids() == dead_ids(function_id="shop::bill")
    line = "Redrove 1 dead letter of shop::mail with “NOT_FOUND” in their error"
    assert log() == [("topic:orders", CHANGE, line)]
    assert line in part(admin_client, QUEUE)


def test_no_more_dead_letters_are_discarded_than_were_counted(
    admin_client: Client, dead: Shop
) -> None:
    enqueue({"id": 2})
    wait_until(lambda: figures()["dlq_depth"] == 4, "more have died since the page was shown")
    oldest = dead_ids()[:2]

    admin_client.post(DISCARD, {"count": "2"})

    assert len(dead_ids()) == 2
    assert not set(oldest) & set(dead_ids())
    assert log() == [("topic:orders", DELETION, "Discarded 2 dead letters")]


@pytest.mark.parametrize("path", [REDRIVE, DISCARD])
@pytest.mark.parametrize("query", ["&error=nobody+died+of+this", "&limit=x", "&limit=0"])
def test_where_nothing_is_chosen_nothing_is_done(
    path: str, query: str, admin_client: Client, dead: Shop
) -> None:
    assert "dead letter</button>" not in admin_client.get(path + query).text
    admin_client.post(path + query, {"count": "0"})
    admin_client.post(path + query, {"count": "-1"})

    assert len(dead_ids()) == 2
    assert log() == []


def test_a_dead_letter_is_redriven_with_another_payload(admin_client: Client, dead: Shop) -> None:
    dead.offer("shop::bill")
    (letter_id,) = dead_ids(function_id="shop::bill")
    path = f"/live/queues/message/redrive/?id={letter_id}"
    assert "&quot;id&quot;: 1" in admin_client.get(path).text
    assert "This is not JSON" in admin_client.post(path, {"payload": "{"}).text

    answer = admin_client.post(path, {"payload": '{"id": 1, "total": 5}'})

    assert answer["location"] == QUEUE
    frame = dead.next_call()
    assert frame["data"] == {"id": 1, "total": 5}
    ((_, _, line),) = log()
    message_id = frame["metadata"]["message_id"]
    assert line == f"Redrove message {message_id} of shop::bill with the payload of the form"
    assert admin_client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("action", "line"),
    [
        ("redrive_chosen", "Redrove 1 dead letter, chosen one by one"),
        ("discard_chosen", "Discarded 1 dead letter, chosen one by one"),
    ],
)
def test_chosen_dead_letters_are_acted_on_after_a_confirmation(
    action: str, line: str, admin_client: Client, dead: Shop
) -> None:
    admin_client.post(PAUSE, {"wanted": "pause"})
    (letter_id,) = dead_ids(function_id="shop::bill")
    form = {"action": action, "_selected_action": [letter_id]}

    asked = admin_client.post(MESSAGES, form)

    assert "This dead letter" in asked.text
    assert len(dead_ids()) == 2

    admin_client.post(MESSAGES, {**form, "confirmed": "1"})

    assert dead_ids() == dead_ids(function_id="shop::mail")
    assert log()[1:] == [("topic:orders", log()[1][1], line)]
    assert figures()["waiting"] == (1 if action == "redrive_chosen" else 0)


def test_messages_that_are_alive_are_left_alone(admin_client: Client, shop: Shop) -> None:
    shop.subscribe("shop::bill")
    enqueue({"id": 1}, delay_ms=1_000_000)
    ids = list(Delivery.objects.values_list("pk", flat=True))

    form = {"action": "discard_chosen", "_selected_action": ids, "confirmed": "1"}
    answer = admin_client.post(MESSAGES, form, follow=True)

    assert "None of these is a dead letter." in answer.text
    assert Delivery.objects.count() == 1


# --- who may do what ----------------------------------------------------------------------------

VIEW = ("console.view_queues", "engine.view_delivery")

ACTIONS = {
    PAUSE: "console.pause_queues",
    PUBLISH: "console.publish_messages",
    REDRIVE: "console.redrive_messages",
    DISCARD: "console.discard_messages",
}


@pytest.mark.parametrize(("path", "permission"), ACTIONS.items())
def test_each_action_has_its_own_permission(
    path: str, permission: str, staff_client: Callable[..., Client], dead: Shop
) -> None:
    others = [each for each in ACTIONS.values() if each != permission]
    client = staff_client(*VIEW, *others)

    assert client.get(path).status_code == client.post(path, {"count": "1"}).status_code == 403
    assert html.escape(path.replace("orders", "orders")) not in client.get(QUEUE).text
    assert len(dead_ids()) == 2


@pytest.mark.parametrize(("path", "permission"), ACTIONS.items())
def test_who_has_the_permission_finds_the_action(
    path: str, permission: str, staff_client: Callable[..., Client], dead: Shop
) -> None:
    client = staff_client(*VIEW, permission)

    assert html.escape(path) in client.get(QUEUE).text
    assert client.get(path).status_code == 200


def test_who_may_not_see_messages_sees_figures_alone(
    staff_client: Callable[..., Client], dead: Shop
) -> None:
    client = staff_client("console.view_queues", "console.redrive_messages")

    for path in (QUEUE, REDRIVE):
        assert "function_not_found" not in client.get(path).text
    assert client.get(MESSAGES).status_code == 403
    letter = f"/live/queues/message/redrive/?id={dead_ids()[0]}"
    assert client.get(letter).status_code == client.post(letter).status_code == 403


@pytest.mark.parametrize("action", ["redrive_chosen", "discard_chosen", "delete_selected"])
def test_who_may_only_see_messages_changes_none(
    action: str, staff_client: Callable[..., Client], dead: Shop
) -> None:
    client = staff_client(*VIEW)

    form = {"action": action, "_selected_action": dead_ids(), "confirmed": "1"}
    client.post(MESSAGES, form)

    assert len(dead_ids()) == 2


@pytest.mark.parametrize("path", ["{}/change/", "{}/delete/", "add/", ""])
def test_no_row_is_written_by_the_admin(path: str, admin_client: Client, dead: Shop) -> None:
    answer = admin_client.post(MESSAGES + path.format(dead_ids()[0]), {"state": "0"})

    assert answer.status_code == 403
    assert len(dead_ids()) == 2


@pytest.mark.parametrize("path", [QUEUES, QUEUE])
def test_queues_are_shown_to_those_who_may_see_them(
    path: str, staff_client: Callable[..., Client], queues: QueueThread
) -> None:
    client = staff_client("console.view_workers")

    assert client.get(path).status_code == 403
    assert QUEUES not in client.get("/").text


# --- when there is nothing to show --------------------------------------------------------------


def test_without_the_module_the_pages_explain_it(
    admin_client: Client, running: EngineThread
) -> None:
    for path in (QUEUES, QUEUE):
        assert "This engine runs without the queue module" in part(admin_client, path)
    assert admin_client.get(PAUSE)["location"] == QUEUE
    assert "Queues</span>" not in part(admin_client, "/")


def test_without_an_engine_the_pages_say_so(admin_client: Client) -> None:
    for path in (QUEUES, QUEUE):
        assert "No engine runs in this process" in part(admin_client, path)
    assert admin_client.get(PAUSE)["location"] == QUEUE
    answer = admin_client.post(PAUSE, {"wanted": "pause"}, follow=True)
    assert "no engine runs in this process" in answer.text
    assert "No message waits, none has died" in admin_client.get(MESSAGES).text


@pytest.mark.parametrize("store_method", ["in_memory"])
def test_a_store_in_memory_is_marked_and_can_be_redriven(admin_client: Client, dead: Shop) -> None:
    for path in (QUEUES, QUEUE):
        assert "keeps its messages in memory" in part(admin_client, path)
    dead.offer("shop::bill")
    dead.offer("shop::mail")
    assert "Redrive 2 dead letters" in " ".join(admin_client.get(REDRIVE).text.split())

    admin_client.post(REDRIVE, {"count": "2"})

    assert {dead.next_call()["function_id"] for _ in range(2)} == {"shop::bill", "shop::mail"}
