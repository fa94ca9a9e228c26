"""Threads that are started again when what they do breaks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from engine.core.errors import EngineError

logger = logging.getLogger(__name__)


class LastingThread:
    """Runs something until it is told to stop, again after a while if it breaks.

    Args:
        name: of the part, for health.
        title: of the part, for people.
        run: what the thread does; it says so when it `works`, and returns when `wants_stop` is set
            and not before.
        restart_s: after how long it is run again.

    Attributes:
        failure: why it does not run though it should; empty while all is well.
        wants_stop: set when it is to end.
    """

    def __init__(
        self,
        name: str,
        title: str,
        run: Callable[[LastingThread], None],
        restart_s: float,
    ) -> None:
        self.name = name
        self.failure = ""
        self.wants_stop = threading.Event()
        self._title = title
        self._run = run
        self._restart_s = restart_s
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
            logger.info("the %s runs again", self._title)

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
            if self.wants_stop.wait(self._restart_s):
                return

    def _note(self, problem: Exception | None) -> None:
        # Told once: what is broken may stay so for hours.
        is_told, self.failure = bool(self.failure), _describe(problem)
        if not is_told:
            logger.error(
                "the %s broke (%s): its work stands still, trying again every %g s",
                self._title,
                self.failure,
                self._restart_s,
                # Of what is known to happen, such as an outage, the reason says enough.
                exc_info=None if isinstance(problem, EngineError) else problem,
            )


def _describe(problem: Exception | None) -> str:
    if problem is None:
        return "it ended"
    if isinstance(problem, EngineError):
        return str(problem)
    return f"{type(problem).__name__}: {problem}"
