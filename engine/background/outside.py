"""Tasks for the engine from other Django processes, such as the web process of a project.

Such a process has its own settings and perhaps its own Celery app; only the broker is shared.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from engine.background.broker import QUEUE, broker_url, is_embedded, transport_options
from engine.background.publisher import Publisher

if TYPE_CHECKING:
    from celery import Celery

_lock = threading.Lock()
_publisher: Publisher | None = None


def send_take_outbox() -> None:
    """Let the engine look into the outbox now; returns at once and never raises.

    REDIS_URL or CELERY_BROKER_URL names the broker. Without one, and if it is away, the engine
    finds the messages when it looks by itself.
    """
    if is_embedded(broker_url(os.environ)):
        return
    _get_publisher().send_take_outbox()


def _get_publisher() -> Publisher:
    global _publisher
    with _lock:
        if _publisher is None:
            _publisher = Publisher(_load_app)
            _publisher.start()
        return _publisher


def _load_app() -> Celery:
    """Return an app that is not the current one of the process and knows no tasks."""
    from celery import Celery

    url = broker_url(os.environ)
    app = Celery("iii", broker=url, set_as_current=False, fixups=[])
    app.conf.update(
        broker_transport_options=transport_options(url),
        task_default_queue=QUEUE,
        task_ignore_result=True,
    )
    return app


def _forget() -> None:
    """Start anew in a forked process: the thread did not come along."""
    global _lock, _publisher
    _lock = threading.Lock()
    _publisher = None


os.register_at_fork(after_in_child=_forget)
