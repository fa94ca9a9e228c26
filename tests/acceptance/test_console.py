"""The console as a person uses it: a browser, a running engine, and workers beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.browser import Browser
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.queue_topic import Topic
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import PYTHON
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

NAME: Final = "ada"
PASSWORD: Final = "correct horse 9"

_LINK: Final = re.compile(r"(http://\S+?)/first-admin/\S+/")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path / "engine", environment={"III_CONSOLE_PORT": "0"})
    try:
        engine.start()
        yield engine
    finally:
        engine.kill()


@pytest.fixture
def worker(engine: EngineProcess, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker with the newest SDK of Python."""
    worker = WorkerProcess(PYTHON[-1], "worker", "shop", engine.worker_url, tmp_path)
    try:
        worker.start()
        worker.wait_until_ready()
        yield worker
    finally:
        worker.kill()


@pytest.fixture
def driver(engine: EngineProcess) -> Iterator[RawWorker]:
    with RawWorker(engine.worker_url) as driver:
        yield driver


@pytest.fixture
def page(engine: EngineProcess, browser: Browser) -> Page:
    """A tab in which the first administrator has just been made."""
    return make_first_admin(engine, browser)


def find_link(engine: EngineProcess) -> re.Match[str]:
    """Return the one-time link of the banner; its first group is the console's address."""
    link = wait_until(lambda: _LINK.search(engine.output), "the banner shows the link")
    assert link is not None
    return link


def make_first_admin(engine: EngineProcess, browser: Browser) -> Page:
    page = browser.open_page()
    page.goto(find_link(engine)[0])
    fill(page, "Username", NAME)
    fill(page, "Password", PASSWORD)
    fill(page, "Password again", PASSWORD)
    page.get_by_role("button", name="Make the account and log in").click()
    expect(page).to_have_title("Overview | iii console")
    return page


def fill(page: Page, label: str, text: str) -> None:
    """Fill in a field that is required: its label has an asterisk."""
    page.get_by_role("textbox", name=f"{label}*", exact=True).fill(text)


def call(driver: RawWorker, worker: WorkerProcess, function_id: str, **data: Any) -> Any:
    """Have the worker call a function with its SDK; return the result."""
    outcome = driver.call(worker.named("call"), {"function_id": function_id, "data": data})
    assert "error" not in outcome, outcome
    return outcome.get("result")


def test_the_link_makes_an_administrator_who_can_log_in_again(
    engine: EngineProcess, browser: Browser
) -> None:
    make_first_admin(engine, browser)

    other = browser.open_page()
    other.goto(find_link(engine)[1])
    expect(other).to_have_url(re.compile("/login/"))
    fill(other, "Username", NAME)
    fill(other, "Password", PASSWORD)
    other.get_by_role("button", name="Log in").click()

    expect(other).to_have_title("Overview | iii console")
    assert browser.complaints == []


def test_an_edit_beside_a_change_by_a_worker_is_told_and_loses_nothing(
    browser: Browser, page: Page, worker: WorkerProcess, driver: RawWorker
) -> None:
    at = {"scope": "orders", "key": "1"}
    call(driver, worker, "state::set", **at, value={"total": 5})
    page.get_by_role("link", name="State").first.click()
    page.get_by_role("link", name="1", exact=True).click()
    editor = page.get_by_role("textbox", name="Value")
    expect(editor).to_have_value('{\n  "total": 5\n}')

    # Both change it, the worker first.
    call(driver, worker, "state::set", **at, value={"total": 6, "paid": True})
    typed = '{"total": 7}'
    editor.fill(typed)
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("Somebody has changed this entry")
    expect(page.get_by_role("alert")).to_contain_text("Nothing has been written.")
    there_now = page.locator("section", has=page.get_by_role("heading", name="There now"))
    expect(there_now).to_contain_text('"total": 6,')
    mine = page.get_by_role("textbox", name="What you want to write")
    expect(mine).to_have_value(typed)
    assert call(driver, worker, "state::get", **at) == {"total": 6, "paid": True}

    # On top of what is there now.
    page.get_by_role("button", name="Write mine over version").click()

    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert call(driver, worker, "state::get", **at) == {"total": 7}
    assert browser.complaints == []


def test_the_live_pages_show_a_worker_that_comes_and_goes(
    browser: Browser, page: Page, worker: WorkerProcess
) -> None:
    table = page.locator("[data-live] table")

    page.get_by_role("link", name="Functions").first.click()
    expect(table.get_by_role("row").filter(has_text="shop::echo")).to_be_visible()
    page.get_by_role("link", name="Trigger types").first.click()
    expect(table.get_by_role("row").filter(has_text="shop::bell")).to_be_visible()
    page.get_by_role("link", name="Workers").first.click()
    row = table.get_by_role("row").filter(has_text=f"python {PYTHON[-1].version}")
    expect(row).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Live")

    worker.terminate()

    expect(page.get_by_role("heading", name="No worker is connected")).to_be_visible()
    assert browser.complaints == []


def test_a_dead_letter_is_seen_mended_and_redriven(
    browser: Browser, page: Page, driver: RawWorker
) -> None:
    topic = Topic(driver, "orders")
    driver.bind("queue", "shop::bill", {"topic": "orders", "queue_config": {"maxRetries": 0}})
    wait_until(lambda: topic.consumers == 1, "the function has subscribed")
    page.get_by_role("link", name="Queues").first.click()
    page.get_by_role("link", name="orders", exact=True).click()
    facts = page.locator("[data-live] dl div")
    dead = facts.filter(has_text="Dead letters").locator("dd")
    expect(dead).to_have_text("0")

    page.get_by_role("link", name="Publish a message").click()
    page.get_by_role("textbox", name="Payload").fill('{"id": 7}')
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("pre")).to_have_text('{\n  "id": 7\n}')
    page.get_by_role("button", name="Send it").click()

    # Nobody offers the function: the message dies, and the page shows it by itself.
    expect(page.get_by_text("Published message").first).to_be_visible()
    group = page.get_by_role("row").filter(has_text="function_not_found")
    expect(group).to_contain_text("shop::bill")
    dead.get_by_role("link", name="1").click()
    page.locator("#result_list").get_by_role("link").first.click()
    page.get_by_role("link", name="Redrive").click()
    editor = page.get_by_role("textbox", name="Payload")
    expect(editor).to_have_value('{\n  "id": 7\n}')

    orders: list[Any] = []
    driver.serve("shop::bill", orders.append)
    editor.fill('{"id": 7, "total": 5}')
    page.get_by_role("button", name="Redrive it").click()

    expect(page.get_by_text("with the payload of the form").first).to_be_visible()
    wait_until(lambda: orders == [{"id": 7, "total": 5}], "the message is delivered anew")
    expect(facts.filter(has_text="Delivered").locator("dd")).to_have_text("1")
    assert browser.complaints == []


def test_a_person_makes_a_schedule_and_sees_it_run(
    browser: Browser, page: Page, driver: RawWorker
) -> None:
    calls: list[Any] = []
    driver.serve("reports::make", calls.append)
    page.get_by_role("link", name="Schedules").first.click()
    page.get_by_role("link", name="add one").click()
    preview = page.locator("[data-preview]")
    expression = page.get_by_role("textbox", name="Expression*", exact=True)

    # What it means is told while it is typed, by a script that the content policy lets run.
    expression.fill("30 9 * * 1")
    expect(preview).to_contain_text("with seconds and year it is `0 30 9 * * MON *`")
    expression.fill("* * * * * * *")
    page.get_by_role("combobox", name="Time zone*", exact=True).fill("Europe/Berlin")
    expect(preview).to_contain_text("every second")
    expect(preview.locator("li")).to_have_count(5)
    expect(preview.locator("li").first).to_contain_text(re.compile(r"CES?T.*UTC.*(in \d|now|due)"))
    fill(page, "Name", "reports")
    page.get_by_role("combobox", name="Function*", exact=True).fill("reports::make")
    page.get_by_role("textbox", name="Payload").fill('{"kind": "daily"}')
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("reports was added.")).to_be_visible()
    runs = page.locator("[data-live] tbody tr")
    expect(runs.filter(has_text="done").first).to_be_visible()
    assert calls[0] == {"kind": "daily"}

    page.get_by_role("link", name="Pause").click()
    page.get_by_role("button", name="Pause").click()

    expect(page.get_by_text("This schedule is paused")).to_be_visible()
    expect(runs.first).to_contain_text("the schedule was paused")

    page.get_by_role("link", name="Run now").click()
    page.get_by_role("textbox", name="Payload").fill('{"kind": "by hand"}')
    page.get_by_role("button", name="Run it now").click()

    by_hand = runs.filter(has_text="asked for by hand")
    expect(by_hand).to_contain_text("done")
    assert {"kind": "by hand"} in calls
    by_hand.get_by_role("link").click()
    expect(page.get_by_text("by hand", exact=True)).to_be_visible()
    assert browser.complaints == []
