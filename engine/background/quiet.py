"""The log of a Celery worker without a line or two for every task of the engine."""

from __future__ import annotations

import logging
from typing import Final

ENGINE_TASKS: Final = "engine.tasks."

_LOGGERS: Final = ("celery.worker.strategy", "celery.app.trace")


def quiet_engine_tasks() -> None:
    """Log of the engine's tasks, of which there may be many a second, what goes wrong only."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    data = getattr(record, "data", None)
    if record.levelno > logging.INFO or not isinstance(data, dict):
        return True
    return not str(data.get("name", "")).startswith(ENGINE_TASKS)
