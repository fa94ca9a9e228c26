"""`iii backup` and `iii restore` as people use them, on SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest

import engine
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until

MANAGE: Final = Path(__file__).parents[2] / "manage.py"
LIMIT_S: Final = 60
CLEAN: Final = {"DATABASE_URL": "", "REDIS_URL": "", "III_DATA_DIR": "", "III_CONSOLE_PORT": "off"}

NAMED_QUEUES: Final = 3
"""Those of the config, and `default`."""

KEYS: Final = 20
"""How many keys the writer goes round."""

VALUES: Final[dict[str, str]] = {
    "nul": r'"a\u0000b"',
    "number": "123456789012345678901234567890.123456789012345678901234567890e-400",
    "spaces": '{ "b" : 1,\n "a" : [ 1.0, 1e2 ] }',
    "text": '"gr\u00fcn \U0001f375 \\ud83c\\udf75"',
}
"""JSON texts that come back changed from whatever parses them on the way."""

CALL: Final = '{"type": "invokefunction", "function_id": "%s", "data": %s}'

TABLES: Final = {
    "kv_stateentry": "position, scope, key, value, version, expires_at",
    "kv_kventry": 'position, "index", key, value, version, expires_at',
    "streams_streamitem": "position, stream_name, group_id, item_id, value, version, expires_at",
    "engine_trigger": "id, identity, trigger_id, trigger_type, function_id, config, metadata, "
    "namespace, trigger_namespace, state, error, is_owned, owner_id, owner_name, registered_at, "
    "detached_at",
    "engine_queue": "id, kind, name, is_paused",
    "engine_queuesubscription": "id, queue_id, function_id, policy, delivered, failed",
    "engine_delivery": "id, queue_id, subscription_id, message_id, function_id, data, context, "
    "message_group, state, attempts, run_at, enqueued_at, expires_at, error, history, failed_at",
    "engine_idempotencykey": "queue_id, key, message_id, expires_at",
    "engine_schedule": "id, schedule_id, origin, function_id, namespace, expression, timezone, "
    "condition_function_id, payload, overlap, misfire, jitter_ms, timeout_ms, repeat_interrupted, "
    "is_enabled, is_paused, skip_until, next_at, due_at, planned, pruned, created_at, detached_at, "
    "ended_at",
    "engine_tick": "id, schedule_id, scheduled_at, run_at, give_up_at, state, reason, error, "
    "is_manual, payload, stands_for, attempts, trigger_id, trace_id, started_at, finished_at",
}

NEW_TABLES: Final = (
    "tick",
    "scheduleowner",
    "schedule",
    "outboxmessage",
    "idempotencykey",
    "delivery",
    "queuesubscription",
    "queue",
    "enginenode",
)
"""What the engine's first migration did not make."""

_numbers = itertools.count(1)


class Place:
    """A data directory and a database, and the program that uses them."""

    def __init__(self, folder: Path, url: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.url = url
        self.data = folder / "data"
        self.file = self.data / "engine.sqlite3"

    def run(
        self, name: str, *arguments: Path | str, limit_file_size: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the program until it ends."""
        words = [name, *map(str, arguments), "--data-dir", str(self.data)]
        return subprocess.run(
            [sys.executable, str(MANAGE), "iii", *words],
            cwd=self.folder,
            env={**os.environ, **CLEAN, "DATABASE_URL": self.url},
            preexec_fn=None if limit_file_size is None else partial(_limit, limit_file_size),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def succeed(self, name: str, *arguments: Path | str) -> str:
        """Run a command that has to succeed; return what it prints."""
        done = self.run(name, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def refuse(self, name: str, *arguments: Path | str) -> str:
        """Run a command that has to fail with one line of reason; return it."""
        done = self.run(name, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.removeprefix("error: ").rstrip()

    @contextmanager
    def running(self) -> Iterator[EngineProcess]:
        """Run an engine; it ends gracefully unless it was killed."""
        process = EngineProcess(self.folder, environment={"DATABASE_URL": self.url})
        process.start()
        try:
            yield process
            if process.is_running:
                assert process.terminate() == 0, process.output
        finally:
            process.kill()

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database, with values as SQLite has them."""
        if not self.url:
            return read(self.file, query)
        with psycopg.connect(self.url) as connection:
            return [tuple(map(_as_in_sqlite, row)) for row in connection.execute(query)]

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all that a backup has to keep."""
        return {
            table: self.fetch(f"SELECT {columns} FROM {table} ORDER BY 1")
            for table, columns in TABLES.items()
        }


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _as_in_sqlite(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dt.datetime):
        return str(value.astimezone(dt.UTC).replace(tzinfo=None))
    return value


def read(file: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for each in statements:
            connection.execute(each)


MakePlace = Callable[[str], Place]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with empty tables, to be copied."""
    place = Place(tmp_path_factory.mktemp("migrated"))
    place.succeed("migrate")
    return place.data


@pytest.fixture(scope="session")
def migrated_database(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database of the server with empty tables, to be copied."""
    name = "backup_template"
    place = Place(tmp_path_factory.mktemp("migrated"), create(postgres_url, name))
    place.succeed("migrate")
    return name


def create(server: str, name: str, template: str = "template1") -> str:
    """Create a database; return its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return urlsplit(server)._replace(path=f"/{name}").geturl()


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> MakePlace:
    """Make a place with empty tables in SQLite or PostgreSQL, or one where nothing is yet."""

    def make(kind: str) -> Place:
        name = f"place_{next(_numbers)}"
        place = Place(tmp_path / name)
        if kind == "SQLite":
            shutil.copytree(request.getfixturevalue("migrated"), place.data)
        elif kind == "PostgreSQL":
            template = request.getfixturevalue("migrated_database")
            place.url = create(request.getfixturevalue("postgres_url"), name, template)
        return place

    return make


@pytest.fixture(scope="session")
def sample(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a SQLite database with one entry of state, `sample`, to be copied."""
    place = Place(tmp_path_factory.mktemp("sample"))
    shutil.copytree(migrated, place.data)
    set_one(place, "sample")
    place.succeed("backup", "a.backup")
    return place.folder / "a.backup"


@pytest.fixture
def file(sample: Path, tmp_path: Path) -> Path:
    """A copy of the sample."""
    return shutil.copyfile(sample, tmp_path / "a.backup")


def set_text(worker: RawWorker, function_id: str, at: dict[str, str], value: str) -> None:
    """Set a value to the letter."""
    worker.send(CALL % (function_id, json.dumps(at)[:-1] + f', "value": {value}}}'))


def fill(place: Place) -> tuple[int, int]:
    """Let an engine keep some of everything; return the last position and version of state."""
    with place.running() as process, RawWorker(process.worker_url) as worker:
        worker.bind("unheard-of", "shop::price", {"big": 10**30})
        for key, value in VALUES.items():
            set_text(worker, "state::set", {"scope": "values", "key": key}, value)
            set_text(worker, "kv_server::set", {"index": "values", "key": key}, value)
            item = {"stream_name": "values", "group_id": "g", "item_id": key}
            set_text(worker, "stream::set", item, value)
            message = f'{{"topic": "{key}", "idempotency_key": "{key}", "data": {value}}}'
            worker.send(CALL % ("enqueue", message))
        worker.call("engine::queue::pause", {"queue": "number"})
        yearly = {"expression": "0 0 0 1 1 * *", "schedule_id": "yearly"}
        worker.bind("cron", "shop::price", yearly)
        worker.call("engine::cron::run_now", {"schedule_id": "yearly", "payload": [10**30]})
        # The first row is changed and stays the first; the last one is gone.
        worker.call("state::set", {"scope": "values", "key": "nul", "value": "again"})
        set_text(worker, "state::set", {"scope": "values", "key": "nul"}, VALUES["nul"])
        worker.call("state::set", {"scope": "values", "key": "gone", "value": 1})
        (last,) = place.fetch("SELECT max(position), max(version) FROM kv_stateentry")
        worker.call("state::delete", {"scope": "values", "key": "gone"})
    return last[0], last[1]


def set_one(place: Place, key: str) -> tuple[int, int]:
    """Let an engine set a new key of state; return position and version."""
    with place.running() as process, RawWorker(process.worker_url) as worker:
        worker.call("state::set", {"scope": "new", "key": key, "value": 1})
    query = f"SELECT position, version FROM kv_stateentry WHERE key = '{key}'"
    ((position, version),) = place.fetch(query)
    return position, version


def enqueue_one(place: Place) -> int:
    """Let an engine put in a message; return the id of its row."""
    with place.running() as process, RawWorker(process.worker_url) as worker:
        worker.call("enqueue", {"topic": "new", "data": None})
    ((row_id,),) = place.fetch("SELECT max(id) FROM engine_delivery")
    return int(row_id)


# --- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("SQLite", "SQLite"),
        ("SQLite", "PostgreSQL"),
        ("PostgreSQL", "SQLite"),
        ("PostgreSQL", "PostgreSQL"),
    ],
)
def test_everything_comes_back_as_it_was(
    source: str, target: str, make: MakePlace, tmp_path: Path
) -> None:
    old, new = make(source), make("nothing" if target == "SQLite" else target)
    last_position, last_version = fill(old)
    rows = old.rows()
    assert {table: len(each) for table, each in rows.items()} == {
        "kv_stateentry": 4,
        "kv_kventry": 4,
        "streams_streamitem": 4,
        "engine_trigger": 2,
        "engine_queue": 4 + NAMED_QUEUES,
        "engine_queuesubscription": NAMED_QUEUES,
        "engine_delivery": 4,
        "engine_idempotencykey": 4,
        "engine_schedule": 1,
        "engine_tick": 1,
    }
    assert {row[2]: row[3] for row in rows["kv_stateentry"]} == VALUES
    assert [row[5] for row in rows["engine_delivery"]] == list(VALUES.values())

    file = tmp_path / "a.backup"
    count = sum(map(len, rows.values()))
    assert old.succeed("backup", file).startswith(f"{file}: {count} rows in 12 tables, ")
    ((version, database),) = read(file, "SELECT engine_version, database FROM iii_backup")
    assert (version, database) == (engine.__version__, source)

    assert f": {count} rows in 12 tables, as they were in " in new.succeed("restore", file)
    assert new.rows() == rows
    position, version = set_one(new, "after")
    assert (position > last_position, version > last_version) == (True, True)
    assert enqueue_one(new) > max(row[0] for row in rows["engine_delivery"])
    for store, table in (("kv_server", "kv_kventry"), ("stream", "streams_streamitem")):
        if new.url:
            ((next_version,),) = new.fetch(f"SELECT nextval('{table}_version')")
        else:
            ((next_version,),) = new.fetch(
                f"SELECT next_version FROM kv_versioncounter WHERE store = '{store}'"
            )
        assert next_version > max(row[-2] for row in rows[table])


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_a_backup_of_a_writing_engine_is_one_moment(
    kind: str, make: MakePlace, tmp_path: Path
) -> None:
    place, file = make(kind), tmp_path / "a.backup"
    acknowledged = [0]
    enough = threading.Event()

    def write(worker: RawWorker) -> None:
        for number in itertools.count(1):
            worker.call("state::set", {"scope": "s", "key": str(number % KEYS), "value": number})
            acknowledged[0] = number
            if enough.is_set():
                return

    with place.running() as process, RawWorker(process.worker_url) as worker:
        writer = threading.Thread(target=write, args=(worker,))
        writer.start()
        try:
            wait_until(lambda: acknowledged[0] > KEYS, "every key is written")
            before = acknowledged[0]
            place.succeed("backup", file)
            after = acknowledged[0]
        finally:
            enough.set()
            writer.join(LIMIT_S)
        assert after > before  # the writer was not held up
        assert process.is_running

    new = make("nothing")
    new.succeed("restore", file)
    values = sorted(int(value) for (value,) in new.fetch("SELECT value FROM kv_stateentry"))
    last = values[-1]
    assert values == list(range(last - KEYS + 1, last + 1))
    assert before <= last <= after + 1
    assert read(file, "SELECT count(*) FROM engine_enginenode") == [(0,)]


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_a_backup_of_an_older_engine_is_migrated(kind: str, file: Path, make: MakePlace) -> None:
    change(
        file,
        *(f"DROP TABLE engine_{table}" for table in NEW_TABLES),
        "DELETE FROM django_migrations WHERE app = 'engine' AND name > '0002'",
        "DROP TABLE streams_streamitem",
        "DELETE FROM django_migrations WHERE app = 'streams'",
    )
    before = file.read_bytes()
    new = make(kind)
    new.succeed("restore", file)
    assert new.fetch("SELECT scope, key, value FROM kv_stateentry") == [("new", "sample", "1")]
    assert new.fetch("SELECT count(*) FROM engine_enginenode") == [(0,)]
    assert file.read_bytes() == before
    set_one(new, "b")


# --- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_versions_go_on_behind_what_was_lost_too(kind: str, make: MakePlace) -> None:
    place = make(kind)
    file = place.folder / "a.backup"
    set_one(place, "kept")
    place.succeed("backup", file)
    _, lost = set_one(place, "lost")
    place.succeed("restore", file, "--force")
    assert place.fetch("SELECT key FROM kv_stateentry") == [("kept",)]
    _, version = set_one(place, "new")
    assert version > lost


def test_the_log_of_a_killed_engine_is_not_played_into_what_was_restored(
    file: Path, make: MakePlace
) -> None:
    place = make("SQLite")
    with place.running() as process, RawWorker(process.worker_url) as worker:
        worker.call("state::set", {"scope": "s", "key": "lost", "value": 1})
        process.kill()
    assert (place.data / "engine.sqlite3-wal").stat().st_size > 0
    place.succeed("restore", file, "--force")
    assert place.fetch("SELECT key FROM kv_stateentry") == [("sample",)]
    assert place.fetch("PRAGMA integrity_check") == [("ok",)]


# --- refusals of a backup -----------------------------------------------------------------------


def test_a_file_that_exists_is_kept(file: Path, make: MakePlace) -> None:
    place = make("SQLite")
    file.write_text("mine")
    assert place.refuse("backup", file) == (
        f"{file} exists: name another file, or replace it with --force"
    )
    assert file.read_text() == "mine"
    place.succeed("backup", file, "--force")
    assert file.read_bytes().startswith(b"SQLite format 3")
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_database_itself_is_no_place_for_a_backup(make: MakePlace) -> None:
    place = make("SQLite")
    assert place.refuse("backup", place.file, "--force") == (
        f"{place.file} is the database itself: name another file"
    )


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_a_full_disk_leaves_nothing_behind(kind: str, make: MakePlace) -> None:
    place = make(kind)
    folder = place.folder / "backups"
    folder.mkdir()
    done = place.run("backup", folder / "a", limit_file_size=10_000)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: the backup {folder}/a cannot be written: ")
    assert done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_a_directory_that_is_missing_is_named(make: MakePlace) -> None:
    place = make("SQLite")
    file = place.folder / "none" / "a"
    assert place.refuse("backup", file) == (
        f"the backup {file} cannot be written: No such file or directory"
    )


def test_an_engine_that_never_ran_has_nothing_to_back_up(make: MakePlace) -> None:
    place = make("nothing")
    assert place.refuse("backup", "a") == (
        f"there is nothing to back up: {place.file} has no tables"
    )
    assert list(place.folder.iterdir()) == []


# --- refusals of a restore ----------------------------------------------------------------------


def test_a_running_engine_on_sqlite_is_left_alone(file: Path, make: MakePlace) -> None:
    place = make("SQLite")
    with place.running() as process:
        assert place.refuse("restore", file, "--force").startswith(
            f"another engine (process {process.pid}) uses the data directory {place.data}: "
        )


def test_a_running_engine_on_postgresql_is_left_alone(
    file: Path, make: MakePlace, tmp_path: Path
) -> None:
    place = make("PostgreSQL")
    elsewhere = Place(tmp_path / "elsewhere", place.url)
    with place.running() as process:
        reason = elsewhere.refuse("restore", file, "--force")
        assert reason.startswith("an engine uses PostgreSQL place_")
        assert f"process {process.pid} on engine {engine.__version__}): stop it; " in reason
        process.kill()
    assert elsewhere.refuse("restore", file).startswith("an engine uses PostgreSQL")
    with psycopg.connect(place.url) as connection:
        connection.execute("UPDATE engine_enginenode SET seen_at = now() - interval '31 s'")
    elsewhere.succeed("restore", file)
    with place.running():
        assert len(place.fetch("SELECT id FROM engine_enginenode")) == 1
    assert place.fetch("SELECT id FROM engine_enginenode") == []


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_rows_are_not_replaced_unasked(kind: str, file: Path, make: MakePlace) -> None:
    place = make(kind)
    set_one(place, "old")
    rows = place.rows()
    assert place.refuse("restore", file).endswith(
        " holds 1 rows already: replace them with --force"
    )
    assert place.rows() == rows
    place.succeed("restore", file, "--force")
    assert place.fetch("SELECT key FROM kv_stateentry") == [("sample",)]


def test_a_restore_that_fails_half_way_changes_nothing(file: Path, make: MakePlace) -> None:
    change(file, "UPDATE kv_stateentry SET value = 'a' || char(0) || 'b'")
    place = make("PostgreSQL")
    set_one(place, "old")
    rows = place.rows()
    assert "NUL (0x00)" in place.refuse("restore", file, "--force")
    assert place.rows() == rows


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8192])


BAD_FILES: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "missing": (Path.unlink, "{file}: there is no such file"),
    "text": (
        lambda file: file.write_text("no database " * 1000),
        "{file} is no file of `iii backup`",
    ),
    "another database": (
        lambda file: change(file, "DROP TABLE iii_backup"),
        "{file} is no file of `iii backup`",
    ),
    "another format": (
        lambda file: change(file, "UPDATE iii_backup SET format = 2, engine_version = '9.1'"),
        "{file} has the format 2, this engine knows 1 only: restore it with the engine 9.1 that "
        "wrote it",
    ),
    "newer migrations": (
        lambda file: change(
            file,
            "UPDATE iii_backup SET engine_version = '9.1'",
            "INSERT INTO django_migrations (app, name, applied) VALUES ('kv', '0099_x', '2030')",
        ),
        f"{{file}} was written by the newer engine 9.1 (kv.0099_x unknown to {engine.__version__})"
        ": restore it with that one",
    ),
}


@pytest.mark.parametrize(("spoil", "reason"), BAD_FILES.values(), ids=BAD_FILES)
def test_what_is_no_backup_of_ours_is_refused(
    spoil: Callable[[Path], object], reason: str, file: Path, make: MakePlace
) -> None:
    spoil(file)
    place = make("nothing")
    assert place.refuse("restore", file) == reason.format(file=file)
    assert not place.file.exists()


def test_a_truncated_backup_is_refused(file: Path, make: MakePlace) -> None:
    damage(file)
    place = make("nothing")
    assert str(file) in place.refuse("restore", file)
    assert not place.file.exists()


def test_a_damaged_database_is_replaced_when_asked(file: Path, make: MakePlace) -> None:
    place = make("nothing")
    place.data.mkdir()
    place.file.write_text("this is no database " * 100)
    assert place.refuse("restore", file) == (
        f"the database {place.file} cannot be read (file is not a database): "
        "replace it with --force"
    )
    place.succeed("restore", file, "--force")
    assert place.fetch("SELECT key FROM kv_stateentry") == [("sample",)]


def test_postgresql_without_tables_is_named(file: Path, make: MakePlace, postgres_url: str) -> None:
    place = make("nothing")
    place.url = create(postgres_url, f"place_{next(_numbers)}")
    assert place.refuse("restore", file).endswith("run `iii migrate` first")
    assert "there is nothing to back up" in place.refuse("backup", "b")
