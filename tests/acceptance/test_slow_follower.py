"""A client of streams that reads nothing costs little, and holds up nobody."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.engine_process import EngineProcess, Server
from tests.acceptance.raw_worker import RawWorker

EVENTS: Final = 100_000
ITEMS: Final = 100
MAX_GROWTH: Final = 16 * 1024 * 1024
"""Of the engine's memory; 100,000 envelopes take four times as much."""

JOIN: Final = json.dumps(
    {"type": "join", "data": {"subscriptionId": "s", "streamName": "chat", "groupId": "g"}}
)
TEXT: Final = "x" * 500

LIMIT_S: Final = 240
"""For all events to pass; it takes some twenty seconds on a machine that does nothing else."""


# daphne does not wait for slow clients, and says so when it starts.
@pytest.mark.timeout(2 * LIMIT_S)
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
            seen: list[int] = []
            reader = threading.Thread(target=count, args=(quick, seen))
            reader.start()
            change(worker, ITEMS)  # what the engine needs once
            before = memory_of(engine.pid)
            change(worker, EVENTS - ITEMS)
            reader.join(LIMIT_S)
            assert seen == [EVENTS]
            assert memory_of(engine.pid) - before < MAX_GROWTH

            dropped, items = read_until_sync(slow)
            assert dropped > EVENTS // 2
            assert items == worker.call("stream::list", {"stream_name": "chat", "group_id": "g"})
            place = {"stream_name": "chat", "group_id": "g", "item_id": "last"}
            worker.call("stream::set", {**place, "data": "end"})
            assert read(slow)["event"] == {"type": "create", "data": "end"}
    finally:
        engine.kill()


def change(worker: RawWorker, times: int) -> None:
    """Set the items again and again, and wait for the last."""
    for number in range(times - 1):
        worker.send({**call(number), "action": {"type": "void"}})
    worker.call("stream::set", call(times - 1)["data"], limit_s=LIMIT_S)


def call(number: int) -> dict[str, Any]:
    place = {"stream_name": "chat", "group_id": "g", "item_id": f"m{number % ITEMS}"}
    data = {**place, "data": {"n": number, "text": TEXT}}
    return {"type": "invokefunction", "function_id": "stream::set", "data": data}


def read(follower: ClientConnection) -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(follower.recv(timeout=LIMIT_S))
    return envelope


def count(follower: ClientConnection, seen: list[int]) -> None:
    """Read all events; check that none is missing among their numbers."""
    last = 0
    for _ in range(EVENTS):
        envelope = read(follower)
        assert envelope["seq"] > last
        assert envelope["event"]["type"] in {"create", "update"}
        last = envelope["seq"]
    seen.append(EVENTS)


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
