"""Background work for a starting engine: which broker, and where its own Celery reaches it.

Needs Django to be set up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from django.conf import settings

from engine.background.service import BackgroundWork
from engine.server.base import BoundListener

if TYPE_CHECKING:
    from celery import Celery

WORKERS: Final = "workers"

REACHED_AS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where this process reaches an address that is none."""


def background_work(
    bound: Sequence[BoundListener], *, on_ready: Callable[[], None]
) -> BackgroundWork:
    """Return the background work of an engine with these ports, not started.

    Args:
        bound: one of them is the worker port.
        on_ready: called in a thread when all of Celery is loaded.
    """
    return BackgroundWork(
        load_app, settings.CELERY_BROKER_URL, worker_url(bound), settings.III_PUBLIC_URL, on_ready
    )


def load_app() -> Celery:
    """Return the Celery app; loading it takes a while."""
    from iiiproject.celery import app

    return app


def worker_url(bound: Sequence[BoundListener]) -> str:
    """Return the address of the worker port for this process itself."""
    port = next(each for each in bound if each.listener.room == WORKERS)
    address = REACHED_AS.get(port.addresses[0], port.addresses[0])
    return f"ws://{f'[{address}]' if ':' in address else address}:{port.port}"
