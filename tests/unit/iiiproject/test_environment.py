"""What the settings make of the environment."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from iiiproject import environment


def test_without_a_url_there_are_two_sqlite_files(tmp_path: Path) -> None:
    databases = environment.databases({}, tmp_path)

    assert {alias: each["NAME"] for alias, each in databases.items()} == {
        "default": str(tmp_path / "engine.sqlite3"),
        "system": str(tmp_path / "system.sqlite3"),
    }
    assert "synchronous=FULL" in databases["default"]["OPTIONS"]["init_command"]


@pytest.mark.parametrize(
    ("url", "name"), [("sqlite:////var/x/y.db", "/var/x/y.db"), ("sqlite:///a%20b.db", "a b.db")]
)
def test_a_sqlite_url_names_the_file(tmp_path: Path, url: str, name: str) -> None:
    databases = environment.databases({"DATABASE_URL": url}, tmp_path)

    assert databases["default"]["NAME"] == str(Path(name).absolute())
    assert databases["system"]["NAME"].endswith("-system.db")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_postgresql_url_is_taken_apart(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://us%40er:p%2Fw@db.example:6543/main?sslmode=require"

    (database,) = environment.databases({"DATABASE_URL": url}, tmp_path).values()

    assert {key: database[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
        "NAME": "main",
        "USER": "us@er",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "6543",
    }
    assert database["OPTIONS"]["sslmode"] == "require"
    assert database["OPTIONS"]["pool"]["timeout"] == 2


def test_an_unknown_url_names_the_known_kinds(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="'mysql' is not known; use postgres://"):
        environment.databases({"DATABASE_URL": "mysql://x"}, tmp_path)


def test_a_bad_port_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL: Port could not be cast"):
        environment.databases({"DATABASE_URL": "postgres://db:x/main"}, tmp_path)


def test_the_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = environment.secret_key({}, tmp_path)

    file = tmp_path / environment.SECRET_FILE
    assert environment.secret_key({}, tmp_path) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert environment.secret_key({"SECRET_KEY": "given"}, tmp_path) == "given"


def test_processes_that_start_at_once_have_the_same_secret(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def read(_: int) -> str:
        start.wait(10)
        return environment.secret_key({}, tmp_path)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read, range(8)))) == 1


def test_an_empty_secret_is_an_error_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "SECRET_TIMEOUT_S", 0.0)
    (tmp_path / environment.SECRET_FILE).touch()

    with pytest.raises(ImproperlyConfigured, match="is empty: delete it, or set SECRET_KEY"):
        environment.secret_key({}, tmp_path)


def test_without_a_data_directory_nothing_is_written(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"

    assert environment.secret_key({}, missing) != environment.secret_key({}, missing)
    assert not missing.exists()


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("", False)]
)
def test_switches(value: str, expected: bool) -> None:
    assert environment.flag({"X": value}, "X") is expected


def test_lists_are_separated_by_commas() -> None:
    assert environment.words({"X": " a, b,,"}, "X") == ["a", "b"]
    assert environment.words({}, "X", default="c") == ["c"]


def test_redis_makes_the_channel_layer_shared() -> None:
    shared = environment.channel_layers({"REDIS_URL": "redis://x"})["default"]

    assert shared["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
    assert "InMemory" in environment.channel_layers({})["default"]["BACKEND"]
