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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tests import product
from tests.bench.frames import upgrade_request
from tests.bench.jobs import (
    BacklogResult,
    CallResult,
    FleetResult,
    MeasuringJob,
    MixedResult,
    QuietResult,
    ReturnResult,
    ServeJob,
    TransferResult,
    WeightResult,
    encode,
)
from tests.bench.procfs import Memory, memory

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_JOB_LIMIT_S = 900.0
_POLL_S = 0.02
_LOG_TAIL_BYTES = 4000
# Processors that `--pin` gives to the measured process and to the load.
_SUBJECT_CPU, _LOAD_CPU = {0}, {1}

ResultT = TypeVar(
    "ResultT",
    CallResult,
    FleetResult,
    MixedResult,
    WeightResult,
    TransferResult,
    BacklogResult,
    QuietResult,
    ReturnResult,
)

# What the processes of one deployment know each other by.
_SECRET: Final = "of-the-bench"


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
            is_ready = partial(_answers, port)
            prepare = self._pin(_SUBJECT_CPU)
            with _running("bare router", command, log, is_ready, prepare) as started:
                yield Subject("bare router", started.pid, port, started.start_s)

    @contextmanager
    def engine(
        self, database_url: str = "", data: Path | None = None, redis_url: str = ""
    ) -> Iterator[Subject]:
        """Run one engine on free ports.

        Args:
            database_url: of an empty PostgreSQL; the embedded SQLite if there is none.
            data: a data directory that is kept; an empty one of its own if there is none.
            redis_url: of the broker of its `celery_worker`; it runs Celery itself if there is none.
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
                "  - class: modules::queue::QueueModule\n"
                "  - class: modules::cron::CronModule\n"
                "  - class: modules::stream::StreamModule\n"
                f"    config: {{ port: {stream_port} }}\n",
                encoding="utf-8",
            )
            data = data or Path(directory) / "data"
            command = product.iii("-c", str(config), "--data-dir", str(data), "--no-console")
            if self.server is not None:
                command += ["--server", self.server]
            if database_url:
                self.migrate(data, database_url)
            log = Path(directory) / "log"
            environment = _environment(database_url, redis_url)
            is_ready = partial(_answers, port)
            prepare = self._pin(_SUBJECT_CPU)
            with _running("engine", command, log, is_ready, prepare, environment) as started:
                yield Subject("engine", started.pid, port, started.start_s, http_port, stream_port)

    def celery_worker(self, engine: Subject, redis_url: str) -> AbstractContextManager[int]:
        """Run one Celery worker for an engine, and give its process id."""
        return self._celery(engine, "worker", b" ready.", _environment("", redis_url))

    def beat(
        self, engine: Subject, database_url: str, redis_url: str
    ) -> AbstractContextManager[int]:
        """Run the beat process of an engine on a PostgreSQL, and give its process id."""
        environment = _environment(database_url, redis_url)
        return self._celery(engine, "beat", b"beat: Starting...", environment)

    @contextmanager
    def _celery(
        self, engine: Subject, part: str, ready: bytes, environment: Mapping[str, str]
    ) -> Iterator[int]:
        """Run a part of Celery, which is ready when its output says so."""
        command = [sys.executable, "-m", "celery", "-A", "iiiproject", part, "-l", "INFO"]
        with tempfile.TemporaryDirectory(prefix="iii-bench-") as directory:
            log = Path(directory) / "log"
            own = {"III_URL": f"ws://127.0.0.1:{engine.port}", "III_DATA_DIR": directory}

            def is_ready() -> bool:
                return ready in log.read_bytes()

            environment = {**environment, **own}
            # Celery looks for the engine in its working directory first.
            with _running(
                f"celery {part}", command, log, is_ready, None, environment, Path(directory)
            ) as started:
                yield started.pid

    def migrate(self, data: Path, database_url: str = "") -> None:
        """Let the engine make its tables: in a data directory, or in a PostgreSQL.

        Raises:
            BenchFailed: it could not; the message says why.
        """
        done = subprocess.run(
            product.iii("migrate", "--data-dir", str(data)),
            cwd=product.PROJECT,
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
            cwd=product.PROJECT,
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
            cwd=product.PROJECT,
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


@dataclass(frozen=True, slots=True)
class _Started:
    """A process that is ready, and how long that took."""

    pid: int
    start_s: float


@contextmanager
def _running(
    name: str,
    command: Sequence[str],
    log: Path,
    is_ready: Callable[[], bool],
    prepare: Callable[[], None] | None,
    environment: Mapping[str, str] | None = None,
    folder: Path = product.PROJECT,
) -> Iterator[_Started]:
    """Run a process while the block is run, from the moment it is ready."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=prepare,
            env=environment,
        )
    try:
        _await_ready(name, process, is_ready, log)
        yield _Started(process.pid, time.monotonic() - started)
        if process.poll() is not None:
            raise BenchFailed(f"{name}: ended by itself: {_tail(log)}")
    finally:
        _stop(process)


def _environment(database_url: str, redis_url: str = "") -> dict[str, str]:
    """Return an engine's environment: services that are named in this one are never measured."""
    services = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": _SECRET}
    return {**os.environ, **product.ENVIRONMENT, **services}


def _await_ready(
    name: str, process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchFailed(f"{name}: did not start: {_tail(log)}")
        if is_ready():
            return
        time.sleep(_POLL_S)
    raise BenchFailed(f"{name}: not ready in {_START_LIMIT_S:.0f} s: {_tail(log)}")


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
