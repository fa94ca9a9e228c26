"""Deployments as in production: PostgreSQL, Redis, an engine or two, a Celery worker and beat."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests import product
from tests.acceptance.engine_process import EngineProcess
from tests.acceptance.processes import Process
from tests.acceptance.test_state_crash import migrated_postgres
from tests.services import PostgresServer, RedisServer, redis_server
from tests.waiting import wait_until

Part = Literal["worker", "beat"]

READY_LIMIT_S: Final = 60

# What the processes of one deployment know each other by.
SECRET_KEY: Final = "of-one-deployment"

_READY: Final[dict[Part, str]] = {"worker": " ready.", "beat": "beat: Starting..."}


class CeleryProcess(Process):
    """A part of Celery as a process of its own: `celery -A iiiproject worker`, or `beat`.

    Args:
        part: which.
        folder: keeps its output, and beat's schedule.
        environment: where its services and its engine are.
    """

    def __init__(self, part: Part, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._part: Part = part
        command = [sys.executable, "-m", "celery", "-A", "iiiproject", part, "-l", "INFO"]
        own = product.ENVIRONMENT | {"III_DATA_DIR": str(folder)}
        super().__init__(f"celery-{part}", command, folder, own | dict(environment))

    def start(self, working_folder: Path | None = None) -> None:
        """Start it and return once it is ready."""
        said = self.output.count(_READY[self._part])
        super().start(working_folder)

        def is_ready() -> bool:
            assert self.is_running, f"{self.name} ended early:\n{self.last_output()}"
            return self.output.count(_READY[self._part]) > said

        wait_until(is_ready, f"{self.name} is ready", READY_LIMIT_S)


Victim = Process | RedisServer | PostgresServer
"""What may be killed and started again."""


def kill_and_start(victim: Victim) -> None:
    """Kill a part of a deployment and start it again."""
    if isinstance(victim, PostgresServer):
        victim.stop()  # at once, as a machine that loses its power
    else:
        victim.kill()
    victim.start()


@dataclass(frozen=True, slots=True)
class Deployment:
    """An engine, and what it needs where it does not do everything itself.

    Attributes:
        redis: None, like all that follows, for an engine that needs nothing else.
    """

    engine: EngineProcess
    redis: RedisServer | None = None
    postgres: PostgresServer | None = None
    celery_worker: CeleryProcess | None = None
    beat: CeleryProcess | None = None

    @property
    def touched(self) -> list[Process]:
        """Its processes whose output helps when a test fails."""
        return [each for each in (self.engine, self.celery_worker, self.beat) if each is not None]

    def stop(self) -> None:
        """Kill its processes; who made the services stops them."""
        for process in self.touched:
            process.kill()


@contextmanager
def embedded(folder: Path) -> Iterator[Deployment]:
    """Run an engine that does everything itself, on SQLite."""
    deployment = Deployment(EngineProcess(folder / "engine"))
    deployment.engine.start()
    try:
        yield deployment
    finally:
        deployment.stop()


@contextmanager
def with_services(folder: Path) -> Iterator[Deployment]:
    """Run everything in a process of its own; PostgreSQL flushes what it commits."""
    with migrated_postgres(folder) as postgres, redis_server() as redis:
        services = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": SECRET_KEY,
        }
        engine = EngineProcess(folder / "engine", environment=services)
        services |= {"III_URL": engine.worker_url}
        deployment = Deployment(
            engine,
            redis,
            postgres,
            CeleryProcess("worker", folder / "worker", services),
            CeleryProcess("beat", folder / "beat", services),
        )
        try:
            for process in deployment.touched:
                process.start()
            yield deployment
        finally:
            deployment.stop()


@dataclass(frozen=True, slots=True)
class DoubleDeployment:
    """Two engines on one PostgreSQL and one Redis, with a Celery worker and two beats."""

    engines: tuple[EngineProcess, EngineProcess]
    celery_worker: CeleryProcess
    beats: tuple[CeleryProcess, CeleryProcess]

    @property
    def touched(self) -> list[Process]:
        """Its processes, each of which may be killed; their output helps when a test fails."""
        return [*self.engines, self.celery_worker, *self.beats]


@contextmanager
def doubled(folder: Path) -> Iterator[DoubleDeployment]:
    """Run engines that say where they are, and what they share; the Celery worker knows neither."""
    with ExitStack() as stack:
        postgres = stack.enter_context(migrated_postgres(folder))
        redis = stack.enter_context(redis_server())
        services = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": SECRET_KEY,
        }
        of_celery = services | {"III_URL": "ws://[::1]:1"}
        deployment = DoubleDeployment(
            (
                EngineProcess(folder / "one", environment=services),
                EngineProcess(folder / "other", environment=services),
            ),
            CeleryProcess("worker", folder / "worker", of_celery),
            (
                CeleryProcess("beat", folder / "beat-one", of_celery),
                CeleryProcess("beat", folder / "beat-other", of_celery),
            ),
        )
        for process in deployment.touched:
            stack.callback(process.kill)
            process.start()
        yield deployment
