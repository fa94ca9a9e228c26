"""The README's live page as people use it: a browser, a running engine, the worker of the tour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.acceptance.browser import Browser
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import tour_commands
from tests.waiting import wait_until

LIVE_PAGE: Final = Path(__file__).parents[2] / "examples" / "live.html"
COMEBACK_LIMIT_S: Final = 45

EDITS: Final = 60
"""Of each page, of one burst."""

# Runs in the page, by its own buttons and fields, as fast as it draws: as many edits of both pages
# are under way at once as the engine and the worker allow. Ends when all are answered.
BURST: Final = """([seed, edits]) => {
  const name = `note ${seed}`;
  const random = (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
  const answers = [];
  const fetchNow = window.fetch;
  window.fetch = (...request) => {
    const answer = fetchNow(...request);
    answers.push(answer);
    return answer;
  };
  const add = document.querySelector("#add");
  const act = (number) => {
    const rows = document.querySelectorAll("#notes li");
    const kind = rows.length < 3 ? 0 : random(8);
    if (kind < 3) {
      add.elements.text.value = `${name} ${number}`;
      return add.requestSubmit();
    }
    const [done, text, remove] = rows[random(rows.length)].children;
    if (kind === 3) return remove.click();
    if (kind === 4) return done.click();
    text.value = `${name} ${number}, changed`;
    text.dispatchEvent(new InputEvent("input", { bubbles: true }));
    text.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  };
  window.burst = (async () => {
    for (let number = 0; number < edits; number++) {
      act(number);
      await new Promise(requestAnimationFrame);
    }
    const statuses = (await Promise.all(answers)).map((answer) => answer.status);
    window.fetch = fetchNow;
    return statuses;
  })();
}"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path / "engine")
    try:
        engine.start()
        yield engine
    finally:
        engine.kill()


@pytest.fixture
def worker(engine: EngineProcess, http: httpx.Client, tmp_path: Path) -> Iterator[Process]:
    """The TypeScript worker of the tour, when its routes are there."""
    command, folder = tour_commands()["typescript"]
    worker = Process("tour-typescript", command, tmp_path, {"III_URL": engine.worker_url})
    try:
        worker.start(folder)
        wait_until(lambda: serves(engine, http), "the board's routes are there", 30)
        yield worker
    finally:
        worker.kill()


def serves(engine: EngineProcess, http: httpx.Client) -> bool:
    """Say whether the worker takes notes off the board, even those that are not there."""
    return http.delete(f"{engine.http_url}/board/nothing").status_code == 204


def open_board(engine: EngineProcess, browser: Browser) -> Page:
    """Open the page in a browser of its own, and wait until it is live."""
    page = browser.open_page()
    ports = urlencode({"stream": engine.stream_url, "http": engine.http_url})
    page.goto(f"{LIVE_PAGE.as_uri()}?{ports}")
    expect_live(page)
    return page


def expect_live(page: Page, limit_s: float = 15) -> None:
    expect(page.get_by_role("status")).to_have_text("Live", timeout=limit_s * 1000)


def add_note(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="New note").fill(text)
    page.get_by_role("button", name="Add").click()


def notes(page: Page) -> Locator:
    return page.get_by_role("list", name="Notes").get_by_role("listitem")


def shown(page: Page) -> list[list[Any]]:
    """Return text and mark of every note on a page."""
    found: list[list[Any]] = page.evaluate(
        "Array.from(document.querySelectorAll('#notes li'), "
        "({ children: [done, text] }) => [text.value, done.checked])"
    )
    return found


def kept(engine: EngineProcess) -> list[list[Any]]:
    """Return text and mark of every note that the engine has."""
    with RawWorker(engine.worker_url) as driver:
        items = driver.call("stream::list", {"stream_name": "board", "group_id": "tour"})
    return [[note["text"], note["done"]] for note in items]


def expect_same(engine: EngineProcess, *pages: Page) -> list[list[Any]]:
    """Wait until all pages show what the engine has, in its order."""
    there = kept(engine)

    def are_same() -> bool:
        return all(shown(page) == there for page in pages)

    wait_until(are_same, f"the pages show {len(there)} notes of the engine")
    return there


def arrived(page: Page) -> list[str]:
    """Return the types of what a page has received, the newest first."""
    return page.locator("#log b").all_inner_texts()


@pytest.mark.usefixtures("worker")
def test_two_pages_show_the_same_after_random_edits_and_after_a_crash(
    engine: EngineProcess, browser: Browser, http: httpx.Client
) -> None:
    pages = [open_board(engine, browser), open_board(engine, browser)]

    for seed, page in enumerate(pages, 1):
        page.evaluate(BURST, [seed, EDITS])
    statuses = [status for page in pages for status in page.evaluate("window.burst")]

    assert set(statuses) <= {200, 204}
    there = expect_same(engine, *pages)
    assert len(there) > 5
    assert browser.complaints == []

    engine.kill()
    for page in pages:
        expect(page.get_by_role("status")).to_have_text("Reconnecting…")
    engine.start()

    for page in pages:
        expect_live(page)
    assert expect_same(engine, *pages, open_board(engine, browser)) == there
    wait_until(lambda: serves(engine, http), "the worker is back", COMEBACK_LIMIT_S)
    add_note(pages[0], "after the crash")
    expect(notes(pages[1])).to_have_count(len(there) + 1)
    assert expect_same(engine, *pages)[-1] == ["after the crash", False]


@pytest.mark.usefixtures("worker")
def test_a_page_that_was_offline_gets_what_it_has_missed_and_no_more(
    engine: EngineProcess, browser: Browser
) -> None:
    page, other = open_board(engine, browser), open_board(engine, browser)
    add_note(other, "before")
    expect(notes(page)).to_have_count(1)

    page.context.set_offline(True)
    expect(page.get_by_role("status")).to_have_text("Reconnecting…")
    notes(other).get_by_role("checkbox").check()
    add_note(other, "meanwhile")
    expect(notes(other)).to_have_count(2)
    page.context.set_offline(False)

    expect_live(page)
    assert expect_same(engine, page, other) == [["before", True], ["meanwhile", False]]
    assert arrived(page) == ["resumed", "create", "update", "create", "sync"]


def test_what_somebody_types_stays_until_it_is_saved(
    engine: EngineProcess, worker: Process, browser: Browser, http: httpx.Client
) -> None:
    page, other = open_board(engine, browser), open_board(engine, browser)
    add_note(page, "water the plants")
    field = notes(page).get_by_role("textbox")
    expect(field).to_have_value("water the plants")

    worker.kill()
    wait_until(lambda: not serves(engine, http), "the routes are gone")
    field.fill("water them twice")
    field.press("Enter")
    add_note(page, "call Ada")

    expect(page.get_by_role("alert")).to_contain_text("the TypeScript worker of the tour is not")
    expect(page.get_by_text("Not saved. Press Enter to try again")).to_be_visible()
    expect(page.get_by_role("textbox", name="New note")).to_have_value("call Ada")
    expect(field).to_have_value("water them twice")
    assert shown(other) == kept(engine) == [["water the plants", False]]

    worker.start(tour_commands()["typescript"][1])
    wait_until(lambda: serves(engine, http), "the routes are back", COMEBACK_LIMIT_S)
    field.press("Enter")

    expect(page.get_by_text("Not saved.")).to_be_hidden()
    expect(notes(other).get_by_role("textbox")).to_have_value("water them twice")
