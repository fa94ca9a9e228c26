"""Services that tests start for themselves: a PostgreSQL of their own, thrown away afterwards."""

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


def find_postgres() -> Path | None:
    """Return the directory of the newest installed server's programs."""
    versions = sorted(POSTGRES_BINARIES.glob("*/bin/initdb"))
    if versions:
        return versions[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


@contextlib.contextmanager
def running_postgres(binaries: Path, *, is_durable: bool = False) -> Iterator[str]:
    """Run a server on a free port of the loopback; give its URL.

    Only a durable one survives what it is told to survive; the other is faster.
    """
    with tempfile.TemporaryDirectory(prefix="iii-postgres-") as directory:
        data = Path(directory, "data")
        as_root = os.geteuid() == 0
        prefix: list[str] = []
        if as_root:
            account = pwd.getpwnam(POSTGRES_USER)
            os.chown(directory, account.pw_uid, account.pw_gid)
            prefix = ["runuser", "-u", POSTGRES_USER, "--"]
        port = _free_port()
        _run([*prefix, str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "iii", "-N"])
        options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1"
        if not is_durable:
            options += " -c fsync=off"
        control = [*prefix, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        _run([*control, "-l", f"{directory}/log", "-o", options, "start"])
        try:
            yield f"postgres://iii@127.0.0.1:{port}/postgres"
        finally:
            _run([*control, "-m", "immediate", "stop"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
