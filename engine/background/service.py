"""Background work as an engine has it: it sends tasks, and executes them where nobody else does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from engine.background.broker import is_embedded
from engine.background.clock import ScheduleClock
from engine.background.embedded import EmbeddedCelery, WholeCelery
from engine.background.planners import EnginePlanner, Planner
from engine.background.process_link import make_link, set_own_link
from engine.background.publisher import Publisher

if TYPE_CHECKING:
    from celery import Celery

    from engine.background.link import EngineLink

logger = logging.getLogger(__name__)

COMMANDS: Final = "celery -A iiiproject worker, celery -A iiiproject beat"

STOP_TIMEOUT_S: Final = 5.0
"""For threads that have nothing more to do; a broker that does not answer is left alone then."""


def executor(broker_url: str) -> str:
    """Say who executes the tasks that go to a broker, and how to start it; no password in it."""
    if is_embedded(broker_url):
        return "in this process"
    parts = urlsplit(broker_url)
    address = parts.netloc.rpartition("@")[2]
    return f"by processes of Celery on {parts.scheme}://{address}: {COMMANDS}"


class BackgroundWork:
    """The publisher of an engine and, without a broker, the embedded Celery and its link.

    Args:
        load_app: gives the Celery app; called in threads.
        broker_url: what that app is configured with.
        worker_url: where the embedded Celery reaches this engine.
        public_url: where Celery's processes reach it, None if nobody said.
        on_ready: called in a thread when all of Celery is loaded.

    Attributes:
        publisher: the `TaskSender` of the modules; what they send before `start` waits.
        is_embedded: whether this process executes its tasks itself.
        executor: who executes them, for people.
    """

    def __init__(
        self,
        load_app: Callable[[], Celery],
        broker_url: str,
        worker_url: str,
        public_url: str | None,
        on_ready: Callable[[], None],
    ) -> None:
        self.is_embedded = is_embedded(broker_url)
        self.executor = executor(broker_url)
        self._worker_url = worker_url
        self._link: EngineLink | None = None
        self._celery: EmbeddedCelery | None = None
        if self.is_embedded:
            load_whole = WholeCelery(load_app)
            self.publisher = Publisher(load_whole, wake_clock=self._wake_clock)
            self._clock = ScheduleClock(self._open_planner, self.publisher.send_run_ticks)
            self._celery = EmbeddedCelery(load_whole, self._clock, on_ready)
        else:
            self.publisher = Publisher(load_app, public_url)

    def start(self) -> None:
        """Start the threads; the worker port listens by now."""
        if self._celery is not None:
            self._link = make_link(self._worker_url)
            set_own_link(self._link)
            self._link.start()
            self._celery.start()
        self.publisher.start()

    def refuse(self) -> None:
        """Send nothing more: the engine is about to stop, and with it the link to it."""
        self.publisher.refuse()
        if self._celery is not None:
            self._celery.stop_clock()
        if self._link is not None:
            self._link.retire()

    async def stop(self, timeout_s: float) -> None:
        """End all threads; tasks that run have so many seconds to finish."""
        await asyncio.get_running_loop().run_in_executor(None, self._stop, timeout_s)

    def hurry(self) -> None:
        """Let `stop` wait no longer for tasks."""
        if self._celery is not None:
            self._celery.hurry()

    def health(self) -> dict[str, Any]:
        """Say how it is: `{status, details}`."""
        details: dict[str, Any] = {"embedded": self.is_embedded}
        if self._celery is not None:
            details |= self._celery.failures()
        if self.publisher.outage is not None:
            details["broker"] = self.publisher.outage
        return {"status": "healthy" if len(details) == 1 else "unhealthy", "details": details}

    def _wake_clock(self) -> None:
        self._clock.wake()

    def _open_planner(self) -> Planner:
        assert self._link is not None, "start comes first"
        return EnginePlanner(self._link, is_own=True)

    def _stop(self, timeout_s: float) -> None:
        self.publisher.stop(STOP_TIMEOUT_S)
        if self._celery is not None:
            self._celery.stop(timeout_s)
        if self._link is not None:
            set_own_link(None)
            self._link.close()
