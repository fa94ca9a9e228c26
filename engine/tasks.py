"""The Celery tasks of the engine: each is one call of the engine, which does the work."""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import shared_task

from engine.background.process_link import get_link
from engine.core.errors import EngineError, InvocationFailed
from engine.core.log_limit import LogLimit
from engine.core.protocol import DEFAULT_NAMESPACE, encode

logger = logging.getLogger(__name__)

DRAIN: Final = "engine::queue::drain"
TAKE_OUTBOX: Final = "engine::queue::take_outbox"
RUN_TICKS: Final = "engine::cron::run_ticks"

TIMEOUT_S: Final = 10.0
"""For a call of the engine; a drain ends itself after a quarter of a second."""

PATIENCE_S: Final = 0.5
"""For the connection to an engine that was not reached lately: twice the time until the next
attempt."""

INVOKE_TIMEOUT_S: Final = 30.0

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


@shared_task(name="engine.tasks.run_ticks", acks_late=True, ignore_result=True)
def run_ticks(engine: str | None = None) -> None:
    """Let an engine claim the ticks that are due, which it then runs.

    Args:
        engine: the address of the engine; None: that of III_URL.
    """
    # An engine that was killed counts as running for a while: waiting for it would keep Celery's
    # threads from the others.
    _call(engine, RUN_TICKS, b"{}", PATIENCE_S)


@shared_task(name="engine.tasks.invoke", ignore_result=True)
def invoke(
    function_id: str,
    data: Any = None,
    namespace: str = DEFAULT_NAMESPACE,
    timeout_s: float = INVOKE_TIMEOUT_S,
) -> None:
    """Call a function, for periodic tasks of django-celery-beat; its result is dropped.

    Args:
        function_id: of a worker or built in, but none of the engine's internal ones.
        data: its payload.
        namespace: of the function.
        timeout_s: how long the task waits, and occupies a thread of Celery's.

    Raises:
        EngineError: the engine was not reached, did not answer in time, or the function failed.
    """
    try:
        get_link().call(function_id, encode(data), timeout_s, namespace=namespace)
    except InvocationFailed as error:
        # Celery takes exceptions of one argument as they are, and only the root of others.
        raise EngineError(str(error)) from error


def _call(
    engine: str | None, function_id: str, data: bytes, patience_s: float | None = None
) -> None:
    try:
        get_link(engine).call(function_id, data, TIMEOUT_S, patience_s=patience_s)
    except EngineError as error:
        # Nothing is lost and nothing to repeat here: the engine looks again after two seconds.
        _complaints.warning(f"{function_id} failed: {error}")
