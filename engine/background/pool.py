"""The threads in which the embedded Celery runs tasks; none keeps the process from ending."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from celery.concurrency.base import BasePool, apply_target

logger = logging.getLogger(__name__)

_Job = Callable[[], None]


class DaemonPool(BasePool):
    """Celery's thread pool, of daemon threads, made when they are needed.

    A task of a project that hangs would otherwise hold up the end of the engine for ever.
    """

    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,
    ) -> None:
        """Run a task as soon as a thread is free."""
        self._jobs.put(lambda: apply_target(target, args, kwargs, callback, accept_callback))
        with self._lock:  # the timer of delayed tasks comes from a thread of its own
            if self._idle.acquire(blocking=False) or len(self._threads) >= self.limit:
                return
            thread = threading.Thread(target=self._work, name="celery-task", daemon=True)
            self._threads.append(thread)
        thread.start()

    def on_stop(self) -> None:
        """Wait until the tasks that run are over."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # Celery's own; what a task raises is dealt with inside
                logger.exception("Celery failed around a task")
            self._idle.release()
