"""A database that is full, locked, damaged or away: told clearly, nothing answered is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.acceptance.test_state_crash import migrated_postgres
from tests.waiting import wait_until

DISK_MIB: Final = 16
VALUE: Final = "x" * 50_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB; only root can make one."""
    if os.geteuid() != 0:
        # The pipeline runs as root: there it would be a failure, not a skip.
        leave = pytest.fail if os.environ.get("CI") else pytest.skip
        leave("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, timeout=10)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def put(worker: RawWorker, key: str, value: object) -> None:
    worker.call("state::set", {"scope": "s", "key": key, "value": value})


def get(worker: RawWorker, key: str) -> object:
    return worker.call("state::get", {"scope": "s", "key": key})


def fill(worker: RawWorker) -> tuple[list[str], CallFailed]:
    """Put values until one fails; return the keys of the others, and the failure."""
    answered: list[str] = []
    while True:
        try:
            put(worker, f"k{len(answered)}", VALUE)
        except CallFailed as failure:
            return answered, failure
        answered.append(f"k{len(answered)}")


def test_a_full_disk_is_an_error_and_then_service_again(small_disk: Path) -> None:
    engine = EngineProcess(small_disk)
    engine.start()
    filler = small_disk / "filler"
    filler.write_bytes(bytes(DISK_MIB * 1024 * 1024 // 3))
    try:
        with RawWorker(engine.worker_url) as worker:
            answered, failure = fill(worker)
            assert failure.code == "SET_ERROR"
            assert "full" in failure.message
            assert all(get(worker, key) == VALUE for key in answered)

            filler.unlink()
            put(worker, "afterwards", 1)
            assert get(worker, "afterwards") == 1

        engine.kill()
        engine.start()
        with RawWorker(engine.worker_url) as worker:
            assert all(get(worker, key) == VALUE for key in answered)
            assert get(worker, "afterwards") == 1
    finally:
        engine.kill()


def test_a_file_that_a_shell_has_locked_is_an_error_and_then_service_again(
    tmp_path: Path,
) -> None:
    engine = EngineProcess(tmp_path)
    engine.start()
    try:
        with RawWorker(engine.worker_url) as worker:
            put(worker, "k", 1)
            file = tmp_path / "data" / "engine.sqlite3"
            with closing(sqlite3.connect(file, isolation_level=None)) as shell:
                shell.execute("BEGIN IMMEDIATE")
                with pytest.raises(CallFailed) as failure:
                    put(worker, "k", 2)
                assert (failure.value.code, "locked" in failure.value.message) == (
                    "SET_ERROR",
                    True,
                )
                assert get(worker, "k") == 1
                shell.execute("ROLLBACK")
            put(worker, "k", 3)
            assert get(worker, "k") == 3
    finally:
        engine.kill()


def test_a_damaged_file_is_named_at_start(tmp_path: Path) -> None:
    file = tmp_path / "data" / "engine.sqlite3"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is no database" * 1000)
    engine = EngineProcess(tmp_path)
    super(EngineProcess, engine).start()
    wait_until(lambda: not engine.is_running, "the engine ends", 30)
    assert f"error: the database {file} cannot be used: file is not a database" in engine.output
    assert "Traceback" not in engine.output


def test_postgresql_that_stops_is_an_error_and_then_service_again(tmp_path: Path) -> None:
    with migrated_postgres(tmp_path) as server:
        engine = EngineProcess(tmp_path / "engine", environment={"DATABASE_URL": server.url})
        engine.start()
        try:
            with RawWorker(engine.worker_url) as worker:
                put(worker, "k", 1)
                server.stop()
                for function, code in (("state::set", "SET_ERROR"), ("state::get", "GET_ERROR")):
                    with pytest.raises(CallFailed) as failure:
                        worker.call(function, {"scope": "s", "key": "k", "value": 2})
                    assert failure.value.code == code
                    assert "the database failed" in failure.value.message
                server.start()
                wait_until(lambda: _is_served(worker), "the engine serves again", 30)
                assert get(worker, "k") == 3
        finally:
            engine.kill()


def _is_served(worker: RawWorker) -> bool:
    try:
        put(worker, "k", 3)
    except CallFailed:
        return False
    return True
