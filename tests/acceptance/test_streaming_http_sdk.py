"""HTTP bodies that are streams, through the `http()` helper of the SDKs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import sdks_where
from tests.acceptance.sdks import Sdk
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

# More than a channel holds back.
LARGE: Final = 6_000_000

sdks_with_helper = sdks_where(lambda sdk: sdk.has_http_helper)


def pattern(size: int) -> bytes:
    """Return the body that the workers expect and write."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


@pytest.fixture
def url(worker: WorkerProcess, fleet: Fleet, http: httpx.Client) -> str:
    """The address of the worker's routes, once the last one is served."""
    address = f"{fleet.engine.http_url}/{worker.service}"
    wait_until(lambda: http.get(f"{address}/download/1").status_code == 201, "routes are served")
    return address


@sdks_with_helper
@pytest.mark.parametrize("size", [1, 70_000, LARGE])
def test_a_handler_streams_its_answer(url: str, http: httpx.Client, size: int) -> None:
    answer = http.get(f"{url}/download/{size}")

    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/octet-stream"
    assert url.endswith(answer.headers["x-by"])
    assert answer.content == pattern(size)


# npm 0.9 forgets to close a channel into which it has written no bytes.
@sdks_where(lambda sdk: sdk.has_http_helper and sdk != Sdk("node", "0.9.0"))
def test_a_handler_streams_an_answer_without_a_body(url: str, http: httpx.Client) -> None:
    answer = http.get(f"{url}/download/0")

    assert (answer.status_code, answer.content) == (201, b"")


@sdks_with_helper
@pytest.mark.parametrize("size", [0, 1, 70_000, LARGE])
def test_a_handler_reads_a_body_as_a_stream(url: str, http: httpx.Client, size: int) -> None:
    headers = {"content-type": "application/octet-stream"}
    answer = http.post(f"{url}/upload", content=pieces(pattern(size)), headers=headers)

    assert answer.status_code == 200
    assert answer.json() == {"size": size, "is_right": True}


@sdks_with_helper
def test_the_bytes_of_a_json_body_come_as_a_stream_too(url: str, http: httpx.Client) -> None:
    text = json.dumps({"a": [1, "ü"]}).encode()
    headers = {"content-type": "application/json"}
    answer = http.post(f"{url}/upload", content=text, headers=headers)

    assert answer.json()["size"] == len(text)


@sdks_with_helper
def test_server_sent_events_arrive_in_their_order(url: str, http: httpx.Client) -> None:
    with http.stream("GET", f"{url}/events/500") as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]

    assert answer.headers["content-type"] == "text/event-stream"
    assert lines == [f"data: {number}" for number in range(500)]
