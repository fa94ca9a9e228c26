"""The one thread that sends tasks: the event loop never waits for a broker."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from engine.core.tasks import TaskSender

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)

MAX_PENDING: Final = 100
"""Tasks that wait for the broker; the engine has a few on their way, so more means it is away."""

CONNECT_TIMEOUT_S: Final = 5.0

MAX_WAITING: Final = 10_000
"""Tasks in the broker that nobody has taken: the engine's own say nothing new by then."""

COUNT_INTERVAL_S: Final = 1.0
"""How often it asks the broker how many they are, while there is something to send."""

PROBE_INTERVAL_S: Final = 5.0
"""How often it looks, in an outage, whether the broker is back, when there is nothing to send."""

DRAIN: Final = "engine.tasks.drain"
TAKE_OUTBOX: Final = "engine.tasks.take_outbox"
RUN_TICKS: Final = "engine.tasks.run_ticks"

CROWDED: Final = f"{MAX_WAITING:,} tasks wait in the broker: is a Celery worker running?"

_Task = tuple[str, tuple[Any, ...]]


class Publisher(TaskSender):
    """Sends tasks through Celery, in their order; what cannot be sent is dropped.

    Whoever sends a task looks again after a while, so dropping one delays and loses nothing.

    Args:
        load_app: gives the Celery app that names the broker, in the thread: loading takes a while.
        engine_url: where Celery's processes reach the engine that sends, if it knows; they go to
            the engine of their own III_URL otherwise.
        wake_clock: wakes the clock of schedules; None where it is another process.
    """

    def __init__(
        self,
        load_app: Callable[[], Celery],
        engine_url: str | None = None,
        wake_clock: Callable[[], None] | None = None,
    ) -> None:
        self._load_app = load_app
        self._wake_clock = wake_clock
        self._app: Celery | None = None
        self._engine_url = engine_url
        self._pending: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._outage: str | None = None
        self._is_crowded = False
        self._counted_at: float | None = None
        self._connection: Any = None
        self._producer: Any = None
        self._thread = threading.Thread(target=self._run, name="task-publisher", daemon=True)

    @property
    def outage(self) -> str | None:
        """Why nothing can be sent at the moment; None if all is well."""
        if self._outage is None and self._is_crowded:
            return CROWDED
        return self._outage

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def send_drain(self, subscriptions: Sequence[int]) -> None:
        """Ask a Celery worker to have these subscriptions drained."""
        arguments: tuple[Any, ...] = (list(subscriptions),)
        if self._engine_url is not None:
            arguments += (self._engine_url,)
        self._append((DRAIN, arguments))

    def send_take_outbox(self) -> None:
        """Ask a Celery worker to have the outbox of Django projects taken over."""
        self._append((TAKE_OUTBOX, ()))

    def send_run_ticks(self, engine_url: str | None = None) -> None:
        """Ask a Celery worker to let an engine claim its due ticks.

        Args:
            engine_url: of another engine than the one that sends; empty: that of III_URL.
        """
        url = self._engine_url if engine_url is None else engine_url
        self._append((RUN_TICKS, (url,) if url else ()))

    def wake_clock(self) -> None:
        """Let the embedded clock look again; one elsewhere hears of it from the database."""
        if self._wake_clock is not None:
            self._wake_clock()

    def refuse(self) -> None:
        """Drop what waits and whatever comes from now on."""
        with self._changed:
            self._is_stopping = True
            self._pending.clear()
            self._changed.notify()

    def stop(self, timeout_s: float) -> None:
        """End; a broker that does not answer is left alone after a while."""
        self.refuse()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _append(self, task: _Task) -> None:
        with self._changed:
            if self._is_stopping or len(self._pending) >= MAX_PENDING or task in self._pending:
                return
            self._pending.append(task)
            self._changed.notify()

    # --- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        task = None  # at first, and in an outage from time to time, it only connects
        while not self._is_stopping:
            try:
                self._connect()
                self._count_waiting()
                if task is not None and not self._is_crowded:
                    self._send(task)
            except Exception as error:  # whatever a broker's client raises: the thread goes on
                self._disconnect()
                self._tell_outage(f"{type(error).__name__}: {error}")
            else:
                self._tell_recovery()
            task = self._take()
        self._disconnect()

    def _take(self) -> _Task | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._pending or self._is_stopping,
                None if self.outage is None else PROBE_INTERVAL_S,
            )
            return self._pending.popleft() if self._pending else None

    def _connect(self) -> None:
        if self._connection is not None:
            return
        if self._app is None:
            self._app = self._load_app()
        self._connection = self._app.connection_for_write(connect_timeout=CONNECT_TIMEOUT_S)
        # Celery's own way to a channel tries for ever.
        self._connection.ensure_connection(max_retries=0)
        self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)

    def _send(self, task: _Task) -> None:
        assert self._app is not None, "_connect comes first"
        name, args = task
        self._app.send_task(name, args=args, producer=self._producer, retry=False)
        if self._counted_at is None:  # from now on there is a queue to ask about
            self._counted_at = time.monotonic()

    def _count_waiting(self) -> None:
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at < COUNT_INTERVAL_S:
            return
        self._counted_at = now
        is_crowded = self._waiting() >= MAX_WAITING
        if is_crowded and not self._is_crowded:
            logger.error("no more tasks are sent for the time being: %s", CROWDED)
        elif self._is_crowded and not is_crowded:
            logger.info("tasks are sent again")
        self._is_crowded = is_crowded

    def _waiting(self) -> int:
        assert self._app is not None, "_connect comes first"
        queue = self._app.conf.task_default_queue
        try:
            declared = self._connection.default_channel.queue_declare(queue, passive=True)
        except self._connection.channel_errors:  # Redis knows no queue that is empty
            return 0
        return int(declared.message_count)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._producer = self._counted_at = None
        self._is_crowded = False
        if connection is not None:
            try:
                connection.release()
            except Exception as error:  # it is broken, which is why it goes
                logger.debug("the broker's connection did not close: %s", error)

    def _tell_outage(self, reason: str) -> None:
        if self._outage is None:
            app = self._app
            broker = "the broker" if app is None else app.connection_for_write().as_uri()
            logger.error("tasks cannot be sent to %s, trying again: %s", broker, reason)
        self._outage = reason

    def _tell_recovery(self) -> None:
        if self._outage is not None:
            self._outage = None
            logger.info("tasks are sent again")
