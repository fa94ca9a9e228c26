"""A client of streams that reads nothing costs little, and holds up nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.engine_process import EngineProcess, Server
from tests.acceptance.raw_worker import RawWorker

EVENTS: Final = 100_000
ITEMS: Final = 100
BURST: Final = 500
"""Changes at once: less than what may wait for the client that reads, which is no fast one."""

MAX_GROWTH: Final = 16 * 1024 * 1024
"""Of the engine's memory; 100,000 envelopes take four times as much."""

JOIN: Final = json.dumps(
    {"type": "join", "data": {"subscriptionId": "s", "streamName": "chat", "groupId": "g"}}
)
TEXT: Final = "x" * 500

LIMIT_S: Final = 20
"""How long one answer may take."""


# daphne does not wait for slow clients, and says so when it starts.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", ["picows", "uvicorn"])
def test_a_client_that_reads_nothing_is_told_what_it_lost(server: Server, tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path, server)
    engine.start()
    try:
        with (
            RawWorker(engine.worker_url) as worker,
            connect(engine.stream_url, max_size=None, ping_interval=None, max_queue=4) as slow,
            connect(engine.stream_url, max_size=None, ping_interval=None) as quick,
        ):
            for follower in (slow, quick):
                follower.send(JOIN)
                assert read(follower)["event"] == {"type": "sync", "data": []}
            change(worker, quick, BURST)  # what the engine needs once
            before = memory_of(engine.pid)
            for _ in range(EVENTS // BURST - 1):
                change(worker, quick, BURST)
            assert memory_of(engine.pid) - before < MAX_GROWTH

            dropped, items = read_until_sync(slow)
            assert dropped > EVENTS // 2
            assert items == worker.call("stream::list", {"stream_name": "chat", "group_id": "g"})
            place = {"stream_name": "chat", "group_id": "g", "item_id": "last"}
            worker.call("stream::set", {**place, "data": "end"})
            assert read(slow)["event"] == {"type": "create", "data": "end"}
    finally:
        engine.kill()


def change(worker: RawWorker, quick: ClientConnection, times: int) -> None:
    """Set items; wait until the client that reads has seen all of it, and in its order."""
    for number in range(times):
        worker.send({**call(number), "action": {"type": "void"}})
    last = 0
    for number in range(times):
        envelope = read(quick)
        assert envelope["event"]["type"] in {"create", "update"}
        assert envelope["event"]["data"]["n"] == number
        assert envelope["seq"] > last
        last = envelope["seq"]


def call(number: int) -> dict[str, Any]:
    place = {"stream_name": "chat", "group_id": "g", "item_id": f"m{number % ITEMS}"}
    data = {**place, "data": {"n": number, "text": TEXT}}
    return {"type": "invokefunction", "function_id": "stream::set", "data": data}


def read(follower: ClientConnection) -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(follower.recv(timeout=LIMIT_S))
    return envelope


def read_until_sync(follower: ClientConnection) -> tuple[int, Any]:
    """Return how many envelopes were lost, and what is there instead."""
    dropped, last = 0, 0
    while True:
        envelope = read(follower)
        kind = envelope["event"]["type"]
        assert envelope["seq"] > last
        if kind == "lagged":
            assert envelope["event"]["data"]["after_seq"] == last
            dropped += envelope["event"]["data"]["dropped"]
        elif kind == "sync":
            return dropped, envelope["event"]["data"]
        last = envelope["seq"]


def memory_of(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
