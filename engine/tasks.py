"""The Celery tasks of the engine: each is one call of the engine, which does the work."""

from __future__ import annotations

import logging
from typing import Final

from celery import shared_task

from engine.background.process_link import get_link
from engine.core.errors import EngineError
from engine.core.log_limit import LogLimit
from engine.core.protocol import encode

logger = logging.getLogger(__name__)

DRAIN: Final = "engine::queue::drain"
TAKE_OUTBOX: Final = "engine::queue::take_outbox"

TIMEOUT_S: Final = 10.0
"""For a call of the engine; a drain ends itself after a quarter of a second."""

_complaints = LogLimit(logger, interval_s=10.0)


# Acknowledged when it is over, so that a Celery process takes no more tasks than it can run.
@shared_task(name="engine.tasks.drain", acks_late=True, ignore_result=True)
def drain(subscriptions: list[int], engine: str | None = None) -> None:
    """Let an engine deliver what is due for these queue subscriptions, for a slice of time.

    Args:
        subscriptions: their ids.
        engine: the address of the engine that asks; None: that of III_URL.
    """
    _call(engine, DRAIN, encode({"subscriptions": subscriptions}))


@shared_task(name="engine.tasks.take_outbox", acks_late=True, ignore_result=True)
def take_outbox() -> None:
    """Let the engine take over the messages that Django projects have written."""
    _call(None, TAKE_OUTBOX, b"{}")


def _call(engine: str | None, function_id: str, data: bytes) -> None:
    try:
        get_link(engine).call(function_id, data, TIMEOUT_S)
    except EngineError as error:
        # Nothing is lost and nothing to repeat here: the engine looks again after two seconds.
        _complaints.warning(f"{function_id} failed: {error}")
