"""The published stream clients: they join, follow items and groups, and come back by themselves."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from playwright.sync_api import Page

from tests.acceptance.browser import Browser
from tests.acceptance.engine_process import EngineProcess, Server
from tests.acceptance.line import Line
from tests.acceptance.placements import every_server
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import stream_client_command, stream_client_pages
from tests.waiting import wait_until

# The clients wait longer and longer between their attempts.
COMEBACK_LIMIT_S: Final = 60

ROOM: Final = {"stream_name": "chat", "group_id": "room"}

A: Final = {"id": "a", "text": "Grüße", "n": 1}
B: Final = {"id": "b", "n": 1}


class Follower(Protocol):
    """A stream client that follows the group `room` of `chat`, and its item `a`."""

    def said(self) -> list[dict[str, Any]]:
        """Return everything that it has said: `{group}`, `{item}` or `{ping}`, in order."""

    def close_group(self) -> None:
        """Leave the group; the item stays."""


class NodeFollower:
    """The client for Node, in a process of its own."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def said(self) -> list[dict[str, Any]]:
        lines = self._process.output.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close_group(self) -> None:
        os.kill(self._process.pid, signal.SIGUSR1)


class BrowserFollower:
    """The client for browsers, on a page of Chromium."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def said(self) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = self._page.evaluate("window.said ?? []")
        return said

    def close_group(self) -> None:
        self._page.evaluate("window.following.group.close()")


@pytest.fixture
def engine(server: Server, tmp_path: Path) -> Iterator[EngineProcess]:
    """A running engine of the test's own."""
    engine = EngineProcess(tmp_path, server)
    engine.start()
    yield engine
    engine.kill()


Follow = Callable[[], Follower]


@pytest.fixture(params=["node", "browser"])
def follow(
    request: pytest.FixtureRequest, engine: EngineProcess, tmp_path: Path
) -> Iterator[Follow]:
    """Start a client and let it join."""
    if request.param == "browser":
        browser: Browser = request.getfixturevalue("browser")
        with served(stream_client_pages()) as address:
            yield lambda: BrowserFollower(open_page(browser, address, engine))
        return
    # The process ends when an attempt to come back is refused, so something has to be there.
    with Line(engine.stream_port) as line:
        environment = {"STREAM_URL": line.url}
        process = Process("stream-client", stream_client_command(), tmp_path, environment)

        def start() -> Follower:
            process.start()
            return NodeFollower(process)

        yield start
        process.kill()


class Files(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback: pages from elsewhere may not reach ports of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join(10)


def open_page(browser: Browser, address: str, engine: EngineProcess) -> Page:
    """Open the page of the client."""
    page = browser.open_page()
    page.goto(f"{address}/browser.html?stream={engine.stream_url}")
    return page


def wait_for(follower: Follower, kind: str, expected: Any, limit_s: float = 15) -> None:
    """Return when what a client said last of a kind is this."""

    def is_last() -> bool:
        return [each[kind] for each in follower.said() if kind in each][-1:] == [expected]

    wait_until(is_last, f"the {kind} is {expected}", limit_s)


@every_server
def test_a_client_follows_a_group_and_an_item(engine: EngineProcess, follow: Follow) -> None:
    with RawWorker(engine.worker_url) as worker:
        worker.call("stream::set", {**ROOM, "item_id": "b", "data": B})
        follower = follow()
        wait_for(follower, "group", [B])
        wait_for(follower, "item", None)

        worker.call("stream::set", {**ROOM, "item_id": "a", "data": A})
        wait_for(follower, "item", A)
        wait_for(follower, "group", [B, A])
        ops = [{"type": "increment", "path": "n", "by": 1}]
        worker.call("stream::update", {**ROOM, "item_id": "a", "ops": ops})
        wait_for(follower, "item", {**A, "n": 2})
        wait_for(follower, "group", [B, {**A, "n": 2}])

        worker.call("stream::send", {**ROOM, "type": "ping", "data": {"from": "worker"}})
        wait_for(follower, "ping", {"from": "worker"})

        worker.call("stream::delete", {**ROOM, "item_id": "a"})
        wait_for(follower, "item", None)
        wait_for(follower, "group", [B])


@every_server
def test_a_client_that_leaves_a_group_keeps_its_item(engine: EngineProcess, follow: Follow) -> None:
    with RawWorker(engine.worker_url) as worker:
        follower = follow()
        wait_for(follower, "group", [])
        wait_until(lambda: len(listening(worker)) == 2, "both have joined")

        follower.close_group()
        wait_until(lambda: len(listening(worker)) == 1, "the group is left")
        worker.call("stream::set", {**ROOM, "item_id": "a", "data": A})

        wait_for(follower, "item", A)
        wait_for(follower, "group", [])


@every_server
def test_a_client_comes_back_after_the_engine_was_killed(
    engine: EngineProcess, follow: Follow
) -> None:
    with RawWorker(engine.worker_url) as worker:
        worker.call("stream::set", {**ROOM, "item_id": "a", "data": A})
        follower = follow()
        wait_for(follower, "item", A)
        wait_for(follower, "group", [A])
        engine.kill()
    engine.start()

    with RawWorker(engine.worker_url) as worker:
        worker.call("stream::set", {**ROOM, "item_id": "b", "data": B})
        wait_for(follower, "group", [A, B], COMEBACK_LIMIT_S)
        worker.call("stream::set", {**ROOM, "item_id": "a", "data": {**A, "n": 5}})
        wait_for(follower, "item", {**A, "n": 5})
        wait_for(follower, "group", [{**A, "n": 5}, B])


def listening(worker: RawWorker) -> list[Any]:
    """Return who listens to the room."""
    listed: list[Any] = worker.call("stream::subscribers", ROOM)["subscribers"]
    return listed
