"""Celery in the engine, where no broker is configured: worker, beat and clock, each a thread."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.background import clock
from engine.background.clock import ScheduleClock
from engine.background.lasting_thread import LastingThread

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

CONCURRENCY: Final = 4
"""Tasks at once; those of the engine only wait for it."""

RESTART_S: Final = 5.0
"""After how long a part that broke is started again."""

MODULES: Final = (
    "celery.app.control",
    "celery.app.events",
    "celery.worker.consumer",
    "engine.background.beat",
)
"""What the worker, beat and the publisher would load when they first need it."""

NUDGE_INTERVAL_S: Final = 0.05
"""How often a worker that ends is told so: it may be about to wait when it is told first."""


class WholeCelery:
    """Loads the app with all of Celery that the threads use, in one thread at a time.

    Its modules import each other in circles: two threads that import them at once may each hold
    what the other waits for, which ends one of them with an error.

    Args:
        load_app: gives the Celery app.
    """

    def __init__(self, load_app: Callable[[], Celery]) -> None:
        self._load_app = load_app
        self._lock = threading.Lock()

    def __call__(self) -> Celery:
        """Return the app."""
        with self._lock:
            app = self._load_app()
            for name in MODULES:
                importlib.import_module(name)
            return app


class EmbeddedCelery:
    """The worker, beat and clock of an engine without a broker.

    Args:
        load_app: gives the Celery app, on our transport in memory; called in the threads, since
            loading takes a while.
        schedules: the clock, which asks this engine.
        on_ready: called in the worker's thread when it can take tasks.
    """

    def __init__(
        self,
        load_app: Callable[[], Celery],
        schedules: ScheduleClock,
        on_ready: Callable[[], None],
    ) -> None:
        self._load_app = load_app
        self._schedules = schedules
        self._on_ready = on_ready
        self._is_started = False
        self._is_in_a_hurry = False
        self._clock = LastingThread("clock", "clock of schedules", schedules.run, clock.RESTART_S)
        self._threads = (
            LastingThread("worker", "embedded Celery worker", self._run_worker, RESTART_S),
            LastingThread("beat", "embedded Celery beat", self._run_beat, RESTART_S),
            self._clock,
        )

    def failures(self) -> dict[str, str]:
        """Return why which part does not run, empty if all do."""
        return {each.name: each.failure for each in self._threads if each.failure}

    def start(self) -> None:
        """Start them; returns at once."""
        self._is_started = True
        for each in self._threads:
            each.start()

    def stop_clock(self) -> None:
        """Plan nothing more; returns at once."""
        self._clock.wants_stop.set()
        self._schedules.wake()

    def hurry(self) -> None:
        """Let `stop` wait no longer."""
        self._is_in_a_hurry = True

    def stop(self, timeout_s: float) -> None:
        """Let tasks that run finish, within a limit, and end the threads."""
        if not self._is_started:
            self._schedules.close()
            return
        from engine.background.memory_transport import BELL

        deadline = time.monotonic() + timeout_s
        self.stop_clock()
        for each in self._threads:
            each.wants_stop.set()
        _worker_state().should_stop = os.EX_OK
        while any(each.is_alive for each in self._threads):
            if self._is_in_a_hurry or time.monotonic() > deadline:
                break
            BELL.interrupt()
            for each in self._threads:
                each.join(NUDGE_INTERVAL_S)
        if not self._clock.is_alive:
            self._schedules.close()
        if late := [each.name for each in self._threads if each.is_alive]:
            logger.warning("the embedded Celery did not end in time: %s", ", ".join(late))

    # --- in the threads -----------------------------------------------------------------------

    def _run_worker(self, thread: LastingThread) -> None:
        app = self._load_app()
        # Nothing of Django's system checks has changed since the engine has started.
        os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

        from celery.worker import WorkController

        def on_ready(_: Any) -> None:
            thread.works()
            self._on_ready()

        # No flags of the command line here: no signal handlers, no logging of its own, nobody to
        # mingle or gossip with.
        worker: Any = WorkController(
            app=app,
            hostname=f"engine@{socket.gethostname()}",
            pool_cls="engine.background.pool:DaemonPool",
            concurrency=CONCURRENCY,
            loglevel=logging.WARNING,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            use_eventloop=False,
            ready_callback=on_ready,
        )
        # It is of the process, in which there may have been another worker before. In this order:
        # whoever wants this one to stop says it first in the event, then in the state.
        _worker_state().should_stop = None
        if thread.wants_stop.is_set():
            return
        worker.start()
        if worker.exitcode:
            raise RuntimeError(f"exit code {worker.exitcode}, see the log above")

    def _run_beat(self, thread: LastingThread) -> None:
        app = self._load_app()

        from django.db import connections

        from engine.background.beat import BeatScheduler

        try:
            scheduler = BeatScheduler(app, is_embedded=True)
            try:
                while not thread.wants_stop.is_set():
                    pause_s = scheduler.tick()
                    thread.works()
                    if pause_s and pause_s > 0:
                        thread.wants_stop.wait(pause_s)
                    if scheduler.should_sync():
                        scheduler._do_sync()
            finally:
                scheduler.close()
        finally:
            connections.close_all()


def _worker_state() -> Any:
    """Return Celery's module of that name, whose variables its stubs take for constants."""
    return importlib.import_module("celery.worker.state")
