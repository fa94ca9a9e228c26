"""Programs of the system that tests run for themselves: a PostgreSQL of their own, a browser."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

POSTGRES_BINARIES = Path("/usr/lib/postgresql")
# `initdb` refuses to run as root; this user comes with Debian's package.
POSTGRES_USER = "postgres"

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Return the path of an installed Chromium."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def find_postgres() -> Path | None:
    """Return the directory of the newest installed server's programs."""
    versions = sorted(POSTGRES_BINARIES.glob("*/bin/initdb"))
    if versions:
        return versions[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


class PostgresServer:
    """A server of the tests' own, which can be stopped and started again.

    Attributes:
        url: where it is, for DATABASE_URL.
    """

    def __init__(self, binaries: Path, directory: str, *, is_durable: bool) -> None:
        data = Path(directory, "data")
        prefix: list[str] = []
        if os.geteuid() == 0:
            account = pwd.getpwnam(POSTGRES_USER)
            os.chown(directory, account.pw_uid, account.pw_gid)
            prefix = ["runuser", "-u", POSTGRES_USER, "--"]
        port = _free_port()
        _run([*prefix, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "iii", "-N"])
        options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1"
        if not is_durable:
            options += " -c fsync=off"
        self.url = f"postgres://iii@127.0.0.1:{port}/postgres"
        self._control = [*prefix, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        self._start = ["-l", f"{directory}/log", "-o", options, "start"]

    def start(self) -> None:
        """Start it and wait until it answers."""
        _run([*self._control, *self._start])

    def stop(self) -> None:
        """Stop it at once, as a machine does that loses its power."""
        _run([*self._control, "-m", "immediate", "stop"])


@contextlib.contextmanager
def postgres_server(binaries: Path, *, is_durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server on a free port of the loopback.

    Only a durable one survives what it is told to survive; the other is faster.
    """
    with tempfile.TemporaryDirectory(prefix="iii-postgres-") as directory:
        server = PostgresServer(binaries, directory, is_durable=is_durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def running_postgres(binaries: Path, *, is_durable: bool = False) -> Iterator[str]:
    """Run a server, see `postgres_server`; give its URL."""
    with postgres_server(binaries, is_durable=is_durable) as server:
        yield server.url


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
