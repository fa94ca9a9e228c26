"""The console on its port: a real engine, a browser's requests, a worker on a socket."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.sync.client import connect

from engine.server.base import SERVER_NAMES
from tests.acceptance.processes import Process
from tests.integration.test_command_line import CLEAN, LIMIT_S, Ports, command, is_open, run
from tests.waiting import wait_until

LINK: Final = re.compile(r"http://\S+/first-admin/\S+/")
FORM_TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
PASSWORD: Final = "correct horse 9"

Start = Callable[..., Process]


@pytest.fixture
def ports() -> Ports:
    return Ports()


@pytest.fixture
def console_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@pytest.fixture
def start(tmp_path: Path, ports: Ports) -> Iterator[Start]:
    """Start an engine in one folder and wait until it is up; it is killed after the test."""
    started: list[Process] = []
    (tmp_path / "iii-config.yaml").write_text(ports.config)

    def start(*arguments: str, **environment: str) -> Process:
        name = f"iii-{len(started)}"
        process = Process(name, command(*arguments), tmp_path, {**CLEAN, **environment})
        started.append(process)
        process.start()
        wait_until(lambda: re.search("Ctrl-C|engine is up", process.output), "it is up", LIMIT_S)
        return process

    yield start
    for process in started:
        process.kill()


def submit(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Open a page and send its form."""
    page = browser.get(path)
    token = FORM_TOKEN.search(page.text)
    assert token is not None, page.text
    return browser.post(path, data={"csrfmiddlewaretoken": token.group(1), **fields})


@pytest.mark.parametrize("server", SERVER_NAMES)
def test_the_first_link_opens_a_console_that_shows_the_engine(
    server: str, start: Start, ports: Ports, console_port: int
) -> None:
    engine = start("--console-port", str(console_port), "--server", server)
    link = LINK.search(engine.output)
    assert link is not None, engine.output
    assert link.group().startswith(f"http://localhost:{console_port}/first-admin/")

    with httpx.Client(
        base_url=f"http://localhost:{console_port}", follow_redirects=True
    ) as browser:
        assert browser.get("/live/workers/").url.path == "/login/"
        index = submit(
            browser, link.group(), username="ada", password1=PASSWORD, password2=PASSWORD
        )
        assert (index.status_code, index.url.path) == (200, "/")
        assert browser.get("/static/console/live.js").status_code == 200

        with connect(f"ws://localhost:{ports.workers}/", proxy=None) as worker:
            worker.send(json.dumps({"type": "registerfunction", "id": "shop::price"}))
            wait_until(
                lambda: "shop::price" in browser.get("/live/functions/?part=1").text,
                "the function is shown",
            )
        wait_until(
            lambda: "shop::price" not in browser.get("/live/functions/?part=1").text,
            "the function is gone",
        )
    assert "Traceback" not in engine.output
    assert engine.terminate() == 0, engine.output


def test_the_next_start_gives_no_link_and_the_account_works(
    start: Start, console_port: int
) -> None:
    first = start("--console-port", str(console_port))
    link = LINK.search(first.output)
    assert link is not None
    account = {"username": "ada", "password1": PASSWORD, "password2": PASSWORD}
    with httpx.Client() as browser:
        assert submit(browser, link.group(), **account).status_code == 302
    first.terminate()

    second = start("--console-port", str(console_port))

    url = f"http://localhost:{console_port}"
    assert LINK.search(second.output) is None
    assert f"console    {url}\n" in second.output
    with httpx.Client(base_url=url) as browser:
        assert browser.get(link.group()).status_code == 404
        answer = submit(browser, "/login/", username="ada", password=PASSWORD)
        assert answer.status_code == 302
        assert browser.get("/").status_code == 200


def test_machines_find_the_link_in_the_start_record(start: Start) -> None:
    engine = start("--log-format", "json", III_CONSOLE_PORT="0")

    records = [json.loads(line) for line in engine.output.splitlines()]
    (up,) = (each for each in records if each["message"] == "engine is up")
    assert up["first_admin"].startswith(f"{up['urls']['console']}/first-admin/")
    assert engine.output.count("/first-admin/") == 1


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--no-console"], {"III_CONSOLE_PORT": ""}), ([], {"III_CONSOLE_PORT": "off"})],
)
def test_the_console_can_be_turned_off(
    arguments: list[str], environment: dict[str, str], start: Start, ports: Ports
) -> None:
    engine = start(*arguments, **environment)

    assert is_open(ports.workers)
    assert "\n  console" not in engine.output


def test_a_taken_port_is_named_with_the_option_that_changes_it(
    ports: Ports, console_port: int, tmp_path: Path
) -> None:
    (tmp_path / "iii-config.yaml").write_text(ports.config)
    with socket.create_server(("127.0.0.1", console_port)):
        done = run(tmp_path, "--console-port", str(console_port))

    assert done.returncode == 1
    assert done.stderr == (
        f"error: port {console_port} (console) is taken on 127.0.0.1: another engine or program "
        "listens there; stop it, or choose another with --console-port or III_CONSOLE_PORT, or "
        "turn the console off with --no-console\n"
    )


def test_the_console_answers_on_the_address_that_it_was_given(
    start: Start, console_port: int
) -> None:
    engine = start("--host", "127.0.0.2", "--console-port", str(console_port))

    url = f"http://127.0.0.2:{console_port}"
    assert f"console    {url}\n" in engine.output
    assert httpx.get(f"{url}/login/").status_code == 200
    assert httpx.get(f"{url}/login/", headers={"host": "evil.example"}).status_code == 400
    assert not is_open(console_port)
