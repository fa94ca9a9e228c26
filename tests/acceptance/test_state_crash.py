"""An engine that is killed without mercy loses nothing that it has answered.

By hand with more: `III_CRASH_SEEDS=20`.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests import product
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.raw_worker import RawWorker
from tests.services import PostgresServer, find_postgres, postgres_server

SEEDS: Final = range(int(os.environ.get("III_CRASH_SEEDS", "3")))
CALLS: Final = 10_000
KEYS: Final = 50
IN_FLIGHT: Final = 32


@contextmanager
def migrated_postgres(folder: Path) -> Iterator[PostgresServer]:
    """Run a PostgreSQL that flushes what it commits, with all tables."""
    binaries = find_postgres()
    assert binaries is not None, "tests/install-packages installs PostgreSQL"
    with postgres_server(binaries, is_durable=True) as server:
        command = product.iii("migrate", "--data-dir", str(folder / "migrate"))
        environment = {**os.environ, **product.ENVIRONMENT, "DATABASE_URL": server.url}
        subprocess.run(command, env=environment, check=True, timeout=120)
        yield server


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One for all tests here."""
    with migrated_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server.url


class Load:
    """Calls with many in flight; knows what was answered and what was not.

    Attributes:
        counts: acknowledged increments by key; `open_counts` those without an answer.
        values: the last acknowledged value by key; `open_values` what was sent after it.
    """

    def __init__(self, seed: int, round_: str) -> None:
        self._random = random.Random(seed)
        self._round = round_
        self.counts = dict.fromkeys(range(KEYS), 0)
        self.open_counts = dict.fromkeys(range(KEYS), 0)
        self.values: dict[int, int] = {}
        self.open_values: dict[int, list[int]] = {key: [] for key in range(KEYS)}
        self.answered = 0

    def run(self, worker: RawWorker, kill: threading.Event) -> None:
        """Call until the engine is gone; ask for its end at a random call."""
        kill_at = self._random.randrange(CALLS // 10, CALLS)
        free = threading.Semaphore(IN_FLIGHT)
        for number in range(CALLS):
            free.acquire()
            if number == kill_at:
                kill.set()
            key = self._random.randrange(KEYS)
            try:
                if self._random.random() < 0.5:
                    self._set(worker, key, number, free)
                else:
                    self._increment(worker, key, free)
            except Exception:  # the connection is gone, as it should
                return
        kill.set()

    def _set(self, worker: RawWorker, key: int, number: int, free: threading.Semaphore) -> None:
        self.open_values[key].append(number)

        def answered(future: Future[Any]) -> None:
            free.release()
            if future.exception() is None:
                self.answered += 1
                # Answers of one key come in the order of its calls.
                sent = self.open_values[key]
                del sent[: sent.index(number) + 1]
                self.values[key] = number

        place = {"scope": self._round, "key": f"value{key}"}
        worker.start_call("state::set", {**place, "value": number}).add_done_callback(answered)

    def _increment(self, worker: RawWorker, key: int, free: threading.Semaphore) -> None:
        self.open_counts[key] += 1

        def answered(future: Future[Any]) -> None:
            free.release()
            if future.exception() is None:
                self.answered += 1
                self.open_counts[key] -= 1
                self.counts[key] += 1

        ops = [
            {"type": "increment", "path": "n", "by": 1},
            {"type": "increment", "path": "again", "by": 1},
        ]
        place = {"scope": self._round, "key": f"count{key}"}
        worker.start_call("state::update", {**place, "ops": ops}).add_done_callback(answered)

    def check(self, worker: RawWorker) -> None:
        """Assert that what is stored is what was answered, or what was sent after it."""
        for key in range(KEYS):
            value = worker.call("state::get", {"scope": self._round, "key": f"value{key}"})
            assert value in {self.values.get(key), *self.open_values[key]}, f"value of key {key}"
            found = worker.call("state::get", {"scope": self._round, "key": f"count{key}"})
            count = found or {"n": 0, "again": 0}
            assert count["n"] == count["again"], f"half an update of key {key}"
            least = self.counts[key]
            assert least <= count["n"] <= least + self.open_counts[key], f"count of key {key}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_what_was_answered_is_there_after_a_kill(
    database: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = (
        {"DATABASE_URL": request.getfixturevalue("postgres_url")} if database == "postgres" else {}
    )
    engine = EngineProcess(tmp_path, environment=environment)
    engine.start()
    try:
        load, kill = Load(seed, f"{database}-{seed}"), threading.Event()
        with RawWorker(engine.worker_url) as worker:
            running = threading.Thread(target=load.run, args=(worker, kill))
            running.start()
            assert kill.wait(60)
            engine.kill()
            running.join(60)
            assert not running.is_alive()
        assert load.answered > 0

        engine.start()
        with RawWorker(engine.worker_url) as worker:
            load.check(worker)
    finally:
        engine.kill()
