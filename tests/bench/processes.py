"""The processes of a run: the measured ones, and the load generator with its jobs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tests.bench.frames import upgrade_request
from tests.bench.jobs import (
    CallResult,
    FleetResult,
    MeasuringJob,
    MixedResult,
    ServeJob,
    TransferResult,
    WeightResult,
    encode,
)
from tests.bench.procfs import Memory, memory

PROJECT: Final = Path(__file__).resolve().parents[2]
_MANAGE: Final = PROJECT / "manage.py"

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_JOB_LIMIT_S = 900.0
_POLL_S = 0.02
_LOG_TAIL_BYTES = 4000
# Processors that `--pin` gives to the measured process and to the load.
_SUBJECT_CPU, _LOAD_CPU = {0}, {1}

ResultT = TypeVar("ResultT", CallResult, FleetResult, MixedResult, WeightResult, TransferResult)


class BenchFailed(Exception):
    """Raised when a process of the run does not start, dies, or does not do its job."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A running process that is measured.

    Attributes:
        port: where its workers connect.
        start_s: from its start until it answered on the port.
        http_port: where it serves HTTP triggers; 0 for the bare router, which has none.
        stream_port: where clients follow its streams, likewise.
    """

    name: str
    pid: int
    port: int
    start_s: float
    http_port: int = 0
    stream_port: int = 0

    def memory(self) -> Memory:
        """Return its resident memory now."""
        return memory(self.pid)


@dataclass(frozen=True, slots=True)
class Processes:
    """Starts what a run needs.

    Attributes:
        server: which server the engine uses for all ports; None for its own choice.
        is_pinned: whether the measured process and the load have a processor each.
    """

    server: str | None = None
    is_pinned: bool = False

    @contextmanager
    def bare_router(self) -> Iterator[Subject]:
        """Run the bare router on a free port."""
        (port,) = _free_ports(1)
        command = [sys.executable, "-m", "tests.bench.bare_router", str(port)]
        with tempfile.TemporaryDirectory(prefix="iii-bench-") as directory:
            log = Path(directory) / "log"
            with _running("bare router", command, port, log, self._pin(_SUBJECT_CPU)) as subject:
                yield subject

    @contextmanager
    def engine(self, database_url: str = "", data: Path | None = None) -> Iterator[Subject]:
        """Run one engine on free ports.

        Args:
            database_url: of an empty PostgreSQL; the embedded SQLite if there is none.
            data: a data directory that is kept; an empty one of its own if there is none.
        """
        port, http_port, stream_port = _free_ports(3)
        with tempfile.TemporaryDirectory(prefix="iii-bench-") as directory:
            config = Path(directory) / "config.yaml"
            config.write_text(
                f"port: {port}\n"
                "modules:\n"
                "  - class: modules::api::RestApiModule\n"
                f"    config: {{ port: {http_port} }}\n"
                "  - class: modules::state::StateModule\n"
                "  - class: modules::pubsub::PubSubModule\n"
                "  - class: modules::stream::StreamModule\n"
                f"    config: {{ port: {stream_port} }}\n",
                encoding="utf-8",
            )
            data = data or Path(directory) / "data"
            command = [sys.executable, str(_MANAGE), "runengine"]
            command += ["-c", str(config), "--data-dir", str(data), "--no-console"]
            if self.server is not None:
                command += ["--server", self.server]
            if database_url:
                self.migrate(data, database_url)
            log = Path(directory) / "log"
            with _running(
                "engine", command, port, log, self._pin(_SUBJECT_CPU), _environment(database_url)
            ) as subject:
                yield replace(subject, http_port=http_port, stream_port=stream_port)

    def migrate(self, data: Path, database_url: str = "") -> None:
        """Let the engine make its tables: in a data directory, or in a PostgreSQL.

        Raises:
            BenchFailed: it could not; the message says why.
        """
        done = subprocess.run(
            [sys.executable, str(_MANAGE), "runengine", "migrate", "--data-dir", str(data)],
            cwd=PROJECT,
            env=_environment(database_url),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchFailed(f"the database was not migrated: {done.stderr.strip()}")

    def run(self, job: MeasuringJob, result: type[ResultT]) -> ResultT:
        """Let a load generator do a job, and return what it measured.

        Raises:
            BenchFailed: the generator says that the job could not be done.
        """
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.generator"],
            input=encode(job),
            capture_output=True,
            cwd=PROJECT,
            timeout=_JOB_LIMIT_S,
            preexec_fn=self._pin(_LOAD_CPU),
            check=False,
        )
        if done.returncode != 0:
            raise BenchFailed(f"load generator: {done.stderr.decode(errors='replace').strip()}")
        return msgspec.json.decode(done.stdout, type=result)

    @contextmanager
    def http_worker(self, job: ServeJob) -> Iterator[None]:
        """Run the worker behind HTTP routes until the block is left."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            preexec_fn=self._pin(_LOAD_CPU),
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(encode(job))
            process.stdin.flush()
            if process.stdout.readline() != b"\n":
                raise BenchFailed("the worker behind the HTTP routes did not connect")
            yield
        if process.returncode != 0:
            raise BenchFailed("the worker behind the HTTP routes failed")

    def run_program(self, command: Sequence[str], limit_s: float) -> str:
        """Run another program beside the generator, and return what it prints.

        Raises:
            BenchFailed: it fails; its message says why.
        """
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit_s,
            preexec_fn=self._pin(_LOAD_CPU),
            check=False,
        )
        if done.returncode != 0:
            raise BenchFailed(f"{command[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _pin(self, cpus: set[int]) -> Callable[[], None] | None:
        if not self.is_pinned:
            return None
        return lambda: os.sched_setaffinity(0, cpus)


@contextmanager
def _running(
    name: str,
    command: Sequence[str],
    port: int,
    log: Path,
    prepare: Callable[[], None] | None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Subject]:
    """Run a process while the block is run, from the moment it answers on its port."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=prepare,
            env=environment,
        )
    try:
        _await_port(name, process, port, log)
        yield Subject(name, process.pid, port, time.monotonic() - started)
        if process.poll() is not None:
            raise BenchFailed(f"{name}: ended by itself: {_tail(log)}")
    finally:
        _stop(process)


def _environment(database_url: str) -> dict[str, str]:
    """Return an engine's environment: a database that is named in this one is never measured."""
    return {**os.environ, "DATABASE_URL": database_url}


def _await_port(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchFailed(f"{name}: did not start: {_tail(log)}")
        if _answers(port):
            return
        time.sleep(_POLL_S)
    raise BenchFailed(f"{name}: no answer on port {port} in {_START_LIMIT_S:.0f} s")


def _answers(port: int) -> bool:
    """Tell whether a handshake is answered: a port takes connections before anybody serves it."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return False
        probe.settimeout(_START_LIMIT_S)
        probe.sendall(upgrade_request(port))
        return probe.recv(1) != b""


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()


def _free_ports(count: int) -> list[int]:
    """Return ports that are free on loopback; all are found before one is given back."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]
    finally:
        for found in sockets:
            found.close()
