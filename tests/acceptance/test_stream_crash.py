"""An engine that is killed without mercy loses no item, and uses no number twice."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.test_state_crash import migrated_postgres

CALLS: Final = 10_000
ITEMS: Final = 200
IN_FLIGHT: Final = 32
GROUP: Final = {"stream_name": "chat", "group_id": "g"}
JOIN: Final = json.dumps(
    {"type": "join", "data": {"subscriptionId": "s", "streamName": "chat", "groupId": "g"}}
)


class Load:
    """Sets items with many calls in flight.

    Attributes:
        values: the last acknowledged value by item.
        open_values: what was sent after it.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.values: dict[int, int] = {}
        self.open_values: dict[int, list[int]] = {item: [] for item in range(ITEMS)}

    def run(self, worker: RawWorker, kill: threading.Event) -> None:
        """Call until the engine is gone; ask for its end at a random call."""
        kill_at = self._random.randrange(CALLS // 10, CALLS)
        free = threading.Semaphore(IN_FLIGHT)
        for number in range(CALLS):
            free.acquire()
            if number == kill_at:
                kill.set()
            try:
                self._set(worker, self._random.randrange(ITEMS), number, free)
            except Exception:  # the connection is gone, as it should
                return

    def _set(self, worker: RawWorker, item: int, number: int, free: threading.Semaphore) -> None:
        self.open_values[item].append(number)

        def answered(future: Future[Any]) -> None:
            free.release()
            if future.exception() is None:
                sent = self.open_values[item]
                del sent[: sent.index(number) + 1]
                self.values[item] = number

        place = {**GROUP, "item_id": f"m{item}"}
        call = worker.start_call("stream::set", {**place, "data": number})
        call.add_done_callback(answered)

    def check(self, worker: RawWorker) -> None:
        """Assert that what is stored is what was answered, or what was sent after it."""
        for item in range(ITEMS):
            found = worker.call("stream::get", {**GROUP, "item_id": f"m{item}"})
            assert found in {self.values.get(item), *self.open_values[item]}, f"item {item}"


class Numbers:
    """A client that keeps the number of the last envelope."""

    def __init__(self) -> None:
        self.last = 0

    def read(self, connection: ClientConnection) -> Any:
        """Read one envelope; its number is greater than those before. Return its data."""
        envelope = json.loads(connection.recv(timeout=30))
        assert envelope["seq"] > self.last
        self.last = envelope["seq"]
        return envelope["event"]["data"]

    def read_all(self, connection: ClientConnection) -> None:
        """Read until the engine is gone."""
        with suppress(ConnectionClosed):
            while True:
                self.read(connection)


def follow(engine: EngineProcess) -> ClientConnection:
    return connect(engine.stream_url, max_size=None, ping_interval=None)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_what_was_answered_is_there_and_numbers_go_on(
    database: str, seed: int, tmp_path: Path
) -> None:
    if database == "sqlite":
        survive(EngineProcess(tmp_path / "engine"), seed)
    else:
        with migrated_postgres(tmp_path) as server:
            environment = {"DATABASE_URL": server.url}
            survive(EngineProcess(tmp_path / "engine", environment=environment), seed)


def survive(engine: EngineProcess, seed: int) -> None:
    engine.start()
    numbers = Numbers()
    try:
        load, kill = Load(seed), threading.Event()
        with RawWorker(engine.worker_url) as worker, follow(engine) as connection:
            connection.send(JOIN)
            reading = threading.Thread(target=numbers.read_all, args=(connection,))
            reading.start()
            running = threading.Thread(target=load.run, args=(worker, kill))
            running.start()
            assert kill.wait(60)
            engine.kill()
            running.join(60)
            reading.join(60)
        assert load.values
        engine.start()
        with RawWorker(engine.worker_url) as worker, follow(engine) as connection:
            load.check(worker)
            connection.send(JOIN)
            assert numbers.read(connection) == worker.call("stream::list", GROUP)
            worker.call("stream::set", {**GROUP, "item_id": "new", "data": 1})
            assert numbers.read(connection) == 1
    finally:
        engine.kill()
