"""The Django app of the engine; it holds the one running Engine of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from engine.core.engine import Engine


class EngineNotRunning(RuntimeError):
    """This process runs no engine: it is a shell, a migration, a Celery worker."""


class EngineConfig(AppConfig):
    """The Django app `engine`."""

    name = "engine"
    verbose_name = "Engine"


_running: list[Engine] = []


def set_engine(engine: Engine | None) -> None:
    """Make an engine the running one of this process, or none."""
    _running[:] = [] if engine is None else [engine]


def get_engine() -> Engine:
    """Return the running engine.

    Raises:
        EngineNotRunning: there is none in this process.
    """
    if not _running:
        raise EngineNotRunning("no engine runs in this process; start it with `iii`")
    return _running[0]
