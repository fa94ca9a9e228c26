"""Programs of the system that tests run for themselves: PostgreSQL, Redis, a browser."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

POSTGRES_BINARIES = Path("/usr/lib/postgresql")
# `initdb` refuses to run as root; this user comes with Debian's package.
POSTGRES_USER = "postgres"

REDIS_START_LIMIT_S = 10.0

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


class RedisServer:
    """A server of the tests' own, which can be killed and started again.

    It keeps nothing over a restart, as Debian's does with what came since its last snapshot.

    Attributes:
        url: where it is, for REDIS_URL.
    """

    def __init__(self, program: str, directory: str) -> None:
        self._port = _free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self._port)]
        self._command += ["--save", "", "--appendonly", "no", "--dir", directory]
        self._log = Path(directory, "log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._process = process
        deadline = time.monotonic() + REDIS_START_LIMIT_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis does not start:\n{self._log.read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis on a free port of the loopback."""
    program = shutil.which("redis-server")
    assert program is not None, "tests/install-packages installs Redis"
    with tempfile.TemporaryDirectory(prefix="iii-redis-") as directory:
        server = RedisServer(program, directory)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
