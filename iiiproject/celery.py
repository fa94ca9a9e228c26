"""The Celery app: `celery -A iiiproject worker` and `celery -A iiiproject beat`.

The engine publishes through it, and runs it in threads of its own where no broker is configured.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iiiproject.settings")

from celery import Celery, signals

from engine.background import transports
from engine.background.broker import require_broker
from engine.background.quiet import quiet_engine_tasks

transports.register()


class App(Celery):
    """Celery with the beat program of the engine."""

    @cached_property
    def Beat(self) -> Any:
        """What `celery beat` starts."""
        from engine.background.beat_process import Beat

        return self.subclass_with_self(Beat)


# Celery's support for Django puts the working directory in front of everything on the path: people
# have folders named `engine` there.
_path = sys.path.copy()
app = App("iiiproject")
sys.path[:] = _path
# The current app is a matter of each thread: without a default the embedded worker would receive
# tasks and run none, and the console would offer none for periodic tasks.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


# --- the processes of their own: none of these signals is sent inside the engine ------------------


@signals.celeryd_init.connect
def _on_worker_init(**_: Any) -> None:
    require_broker(app.conf.broker_url, "worker")


@signals.after_setup_logger.connect
def _on_logging(**_: Any) -> None:
    quiet_engine_tasks()


@signals.beat_init.connect
def _on_beat_init(**_: Any) -> None:
    from engine.background.beat_process import start_clock

    start_clock(app)


@signals.worker_ready.connect
def _on_worker_ready(sender: Any, **_: Any) -> None:
    # Before the first task comes, so that the log says whether the engine is there. With prefork
    # the tasks, and so the link, are the children's.
    if "prefork" not in sender.controller.pool_cls.__module__:
        _start_link()


@signals.worker_process_init.connect
def _on_child_ready(**_: Any) -> None:
    _start_link()


def _start_link() -> None:
    from engine.background.process_link import get_link

    get_link().start()
