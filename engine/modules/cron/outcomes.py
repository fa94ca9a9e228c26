"""What has become of claimed ticks, gathered until the store has it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from engine.core.deferred import Deferred
from engine.core.log_limit import LogLimit
from engine.modules.cron.records import Ended

if TYPE_CHECKING:
    from engine.modules.cron.store.store import CronStore

logger = logging.getLogger(__name__)

GATHER_S: Final = 0.1
"""How long the first outcome waits for others, unless somebody waits for it: they share a commit,
and what begins at the same second does not share the processor with it."""

MOST_AT_ONCE: Final = 1_000
"""How many go into one commit: what else waits for the database comes in between."""

FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
"""How long to wait after a failure of the store: doubled each time."""

FLUSH_S: Final = 5.0
"""How long a stopping engine waits for its store."""

COMPLAINT_INTERVAL_S: Final = 10.0


class Outcomes:
    """Stores outcomes and gives back ticks, one change of the store at a time.

    Both are kept while the store is away. They are bounded by the ticks that are claimed, which
    takes the store.

    Args:
        store: where they go.
    """

    def __init__(self, store: CronStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._ended: list[Ended] = []
        self._released: list[int] = []
        self._watchers: dict[int, list[Callable[[Ended], None]]] = {}
        self._timer: asyncio.Handle | None = None
        self._is_sending = False
        self._pause_s = 0.0
        self._flushed: list[asyncio.Future[None]] = []
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    @property
    def count(self) -> int:
        """How many are not in the store yet."""
        return len(self._ended) + len(self._released)

    def add(self, ended: Ended) -> None:
        """Store an outcome."""
        self._ended.append(ended)
        if ended.id in self._watchers:
            self._hurry()
        else:
            self._send_soon()

    def release(self, tick: int) -> None:
        """Give back a tick that was not begun."""
        self._released.append(tick)
        self._send_soon()

    def watch(self, tick: int, told: Callable[[Ended], None]) -> None:
        """Tell of the outcome of a tick once it is stored, if it ends here."""
        self._watchers.setdefault(tick, []).append(told)

    def unwatch(self, tick: int, told: Callable[[Ended], None]) -> None:
        """Tell no more of it."""
        watchers = self._watchers.get(tick, [])
        if told in watchers:
            watchers.remove(told)
        if not watchers:
            self._watchers.pop(tick, None)

    async def flush(self) -> None:
        """Wait until all is stored, but not for ever."""
        if not self.count and not self._is_sending:
            return
        flushed = self._loop.create_future()
        self._flushed.append(flushed)
        self._hurry()
        try:
            async with asyncio.timeout(FLUSH_S):
                await flushed
        except TimeoutError:
            logger.warning("what became of %d ticks could not be stored", self.count)

    def _send_soon(self) -> None:
        if self._timer is None and not self._is_sending:
            self._timer = self._loop.call_later(GATHER_S, self._send)

    def _hurry(self) -> None:
        """Send what is there now, unless the store is away."""
        if not self._is_sending and not self._pause_s:
            if self._timer is not None:
                self._timer.cancel()
            self._send()

    def _send(self) -> None:
        self._timer = None
        asked: Deferred[Any]
        if self._ended:
            sent, self._ended = self._ended[:MOST_AT_ONCE], self._ended[MOST_AT_ONCE:]
            asked = self._store.finish(sent)
            self._is_sending = True
            asked.then(lambda done: self._on_finished(sent, done))
        elif self._released:
            given, self._released = self._released[:MOST_AT_ONCE], self._released[MOST_AT_ONCE:]
            asked = self._store.release(given)
            self._is_sending = True
            asked.then(lambda done: self._on_released(given, done))
        else:
            self._settle_flushed()

    def _on_finished(self, sent: list[Ended], done: Deferred[int]) -> None:
        self._is_sending = False
        if done.error is not None:
            self._ended = [*sent, *self._ended]
            self._rest(done.error)
            return
        if done.value:
            logger.info("%d outcomes came too late: their ticks were ended before", done.value)
        self._tell(sent)
        self._go_on()

    def _on_released(self, given: list[int], done: Deferred[None]) -> None:
        self._is_sending = False
        if done.error is not None:
            self._released = [*given, *self._released]
            self._rest(done.error)
            return
        self._go_on()

    def _go_on(self) -> None:
        self._pause_s = 0.0
        if self.count:
            self._send()  # what has come meanwhile was gathered by the commit
        else:
            self._settle_flushed()

    def _rest(self, error: Exception) -> None:
        self._complaints.warning(f"outcomes of ticks wait for the store: {error}")
        self._pause_s = min(LAST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        if self._timer is None:
            self._timer = self._loop.call_later(self._pause_s, self._send)

    def _tell(self, sent: Sequence[Ended]) -> None:
        if not self._watchers:
            return
        for ended in sent:
            for told in self._watchers.pop(ended.id, ()):
                told(ended)

    def _settle_flushed(self) -> None:
        for each in self._flushed:
            if not each.done():
                each.set_result(None)
        self._flushed.clear()
