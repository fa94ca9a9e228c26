"""What the environment says: every variable that the Django settings read, and its meaning.

| Variable | Meaning | Default |
| --- | --- | --- |
| `III_DATA_DIR` | where databases, secret and lock live | `./iii-data` |
| `DATABASE_URL` | `postgres://user:password@host:port/name`, `sqlite:///path` | in `III_DATA_DIR` |
| `III_CONSOLE_PORT` | port of the console, 0 for any free one, or `off` | 3113 |
| `REDIS_URL` | broker of Celery and channel layer | none: everything in this process |
| `CELERY_BROKER_URL` | another broker for Celery | `REDIS_URL` |
| `III_URL` | where Celery's processes find this engine, or any | `ws://127.0.0.1:49134` |
| `SECRET_KEY` | signs sessions and Celery's calls | made at first, kept in the data directory |
| `DJANGO_DEBUG` | `1`, `true`: error pages with details | off |
| `DJANGO_ALLOWED_HOSTS` | host names of the console, with commas | loopback names |
| `DJANGO_CSRF_TRUSTED_ORIGINS` | origins of the console behind a proxy, with commas | none |
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

DEFAULT_DATA_DIR = "iii-data"
ENGINE_DATABASE = "engine.sqlite3"
SYSTEM_DATABASE = "system.sqlite3"
SECRET_FILE = "secret_key"

# How long another process may take to write the secret that it has made, in seconds.
SECRET_TIMEOUT_S = 2
# How long a statement waits for another process's lock on a SQLite file, in seconds.
SQLITE_TIMEOUT_S = 5
# The pool's own default of 30 s would hold an engine call for as long.
POOL_TIMEOUT_S = 2

_TRUE = frozenset({"1", "true", "yes", "on"})


def flag(environ: Mapping[str, str], name: str) -> bool:
    """Read a switch: `1`, `true`, `yes` and `on` are on, in any case."""
    return environ.get(name, "").strip().lower() in _TRUE


def words(environ: Mapping[str, str], name: str, default: str = "") -> list[str]:
    """Read a list separated by commas."""
    return [word.strip() for word in environ.get(name, default).split(",") if word.strip()]


def data_dir(environ: Mapping[str, str]) -> Path:
    """Return the data directory as an absolute path; it need not exist."""
    return Path(environ.get("III_DATA_DIR") or DEFAULT_DATA_DIR).expanduser().absolute()


def secret_key(environ: Mapping[str, str], directory: Path) -> str:
    """Return SECRET_KEY, else the one kept in the data directory, made on first use.

    Where the directory does not exist yet (`check`, `makemigrations`) the key lives as long as
    the process: nothing is written anywhere but into a data directory.

    Raises:
        ImproperlyConfigured: the file is empty.
    """
    given = environ.get("SECRET_KEY")
    if given:
        return given
    path = directory / SECRET_FILE
    if path.exists():
        return _written_secret(path)
    key = secrets.token_urlsafe(50)
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        return key
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # an engine and Celery start at once, and have to have the same
        return _written_secret(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key)
    return key


def _written_secret(path: Path) -> str:
    """Read the secret, which another process may be about to write."""
    deadline = time.monotonic() + SECRET_TIMEOUT_S
    while not (key := path.read_text(encoding="ascii").strip()):
        if time.monotonic() > deadline:
            raise ImproperlyConfigured(f"{path} is empty: delete it, or set SECRET_KEY")
        time.sleep(0.01)
    return key


def databases(environ: Mapping[str, str], directory: Path) -> dict[str, dict[str, Any]]:
    """Return Django's DATABASES.

    With SQLite there are two files: `default` holds what the engine keeps and has one writer, the
    engine; `system` holds what Django and its apps write for themselves (users, sessions, log).
    PostgreSQL needs no such division.

    Raises:
        ImproperlyConfigured: DATABASE_URL is of an unknown kind; the message names those known.
    """
    url = environ.get("DATABASE_URL", "").strip()
    if not url:
        return _sqlite_pair(directory / ENGINE_DATABASE, directory / SYSTEM_DATABASE)
    parts = urlsplit(url)
    if parts.scheme in {"postgres", "postgresql"}:
        return {"default": _postgres(url)}
    if parts.scheme == "sqlite":
        path = Path(unquote(parts.path.removeprefix("/") or parts.netloc)).absolute()
        return _sqlite_pair(path, path.with_name(f"{path.stem}-system{path.suffix}"))
    raise ImproperlyConfigured(
        f"DATABASE_URL: {parts.scheme or url!r} is not known; use postgres://… or sqlite:///path"
    )


def _sqlite_pair(engine: Path, system: Path) -> dict[str, dict[str, Any]]:
    return {"default": _sqlite(engine), "system": _sqlite(system)}


def _sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "timeout": SQLITE_TIMEOUT_S,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def _postgres(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL: {error}") from error
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    options["pool"] = {"min_size": 1, "max_size": 8, "timeout": POOL_TIMEOUT_S}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(port or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def channel_layers(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return Django Channels' CHANNEL_LAYERS: Redis pub/sub with REDIS_URL, else in memory."""
    url = environ.get("REDIS_URL", "").strip()
    if not url:
        return {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [url]},
        }
    }
