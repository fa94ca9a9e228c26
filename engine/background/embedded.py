"""Celery inside the engine, where no broker is configured: a worker and beat, each a thread."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

CONCURRENCY: Final = 4
"""Tasks at once; those of the engine only wait for it."""

RESTART_S: Final = 5.0
"""After how long a part that broke is started again."""

NUDGE_INTERVAL_S: Final = 0.05
"""How often a worker that ends is told so: it may be about to wait when it is told first."""


class CeleryThread:
    """A part of Celery that runs in a thread until it is told to stop, again if it breaks.

    Args:
        name: of the part, for people and for health.
        run: what the thread does; it says so when it `works`, and returns when `wants_stop` is set
            and not before.

    Attributes:
        failure: why it does not run though it should; empty while all is well.
        wants_stop: set when it is to end.
    """

    def __init__(self, name: str, run: Callable[[CeleryThread], None]) -> None:
        self.name = name
        self.failure = ""
        self.wants_stop = threading.Event()
        self._run = run
        self._thread = threading.Thread(target=self._main, name=f"celery-{name}", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def works(self) -> None:
        """Note that all is well; called by what it runs."""
        if self.failure:
            self.failure = ""
            logger.info("the embedded Celery %s runs again", self.name)

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _main(self) -> None:
        while True:
            problem: Exception | None = None
            try:
                self._run(self)
            except Exception as error:
                problem = error
            if self.wants_stop.is_set():
                return
            self._note(problem)
            if self.wants_stop.wait(RESTART_S):
                return

    def _note(self, problem: Exception | None) -> None:
        # Told once: what is broken may stay so for hours.
        if not self.failure:
            logger.error(
                "the embedded Celery %s broke: its work stands still, trying again every %g s",
                self.name,
                RESTART_S,
                exc_info=problem,
            )
        self.failure = "it ended" if problem is None else f"{type(problem).__name__}: {problem}"


class EmbeddedCelery:
    """The worker and beat of an engine without a broker.

    Args:
        load_app: gives the Celery app, on our transport in memory; called in the threads, since
            loading takes a while.
        on_ready: called in the worker's thread when it can take tasks.
    """

    def __init__(self, load_app: Callable[[], Celery], on_ready: Callable[[], None]) -> None:
        self._load_app = load_app
        self._on_ready = on_ready
        self._is_started = False
        self._is_in_a_hurry = False
        self._threads = (
            CeleryThread("worker", self._run_worker),
            CeleryThread("beat", self._run_beat),
        )

    def failures(self) -> dict[str, str]:
        """Return why which part does not run, empty if all do."""
        return {each.name: each.failure for each in self._threads if each.failure}

    def start(self) -> None:
        """Start both; returns at once."""
        self._is_started = True
        for each in self._threads:
            each.start()

    def hurry(self) -> None:
        """Let `stop` wait no longer."""
        self._is_in_a_hurry = True

    def stop(self, timeout_s: float) -> None:
        """Let tasks that run finish, within a limit, and end both threads."""
        if not self._is_started:
            return
        from engine.background.memory_transport import BELL

        deadline = time.monotonic() + timeout_s
        for each in self._threads:
            each.wants_stop.set()
        _worker_state().should_stop = os.EX_OK
        while any(each.is_alive for each in self._threads):
            if self._is_in_a_hurry or time.monotonic() > deadline:
                break
            BELL.interrupt()
            for each in self._threads:
                each.join(NUDGE_INTERVAL_S)
        if late := [each.name for each in self._threads if each.is_alive]:
            logger.warning("the embedded Celery did not end in time: %s", ", ".join(late))

    # --- in the threads -----------------------------------------------------------------------

    def _run_worker(self, thread: CeleryThread) -> None:
        app = self._load_app()
        # The current app is a matter of each thread: without a default the worker would receive
        # tasks and run none.
        app.set_default()
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

    def _run_beat(self, thread: CeleryThread) -> None:
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
