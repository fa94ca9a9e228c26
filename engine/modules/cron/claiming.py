"""When this engine claims due ticks: asked by a task, one claim at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from engine.core.deferred import Deferred
from engine.core.tasks import TaskPatience, TaskSender
from engine.modules.cron.records import ClaimedTick, Claims

if TYPE_CHECKING:
    from engine.modules.cron.store.store import CronStore

logger = logging.getLogger(__name__)


FINISH_S: Final = 5.0
"""How long a stopping engine waits for a claim."""


class TickTaker(Protocol):
    """Whoever runs claimed ticks."""

    @property
    def has_room(self) -> bool:
        """Whether more may be claimed."""

    def take(self, ticks: Sequence[ClaimedTick]) -> None:
        """Run ticks at their time."""


class Claiming:
    """Claims for the tasks that ask for it; tasks that come at once share a claim.

    Args:
        store: where the ticks are.
        taker: gets them.
        can_run: whether a function can be called here, see `CronStore.claim`.
        sender: sends the tasks.
    """

    def __init__(
        self,
        store: CronStore,
        taker: TickTaker,
        can_run: Callable[[str, str], bool],
        sender: TaskSender,
    ) -> None:
        self._store = store
        self._taker = taker
        self._can_run = can_run
        self._sender = sender
        self._loop = asyncio.get_running_loop()
        self._asked: list[Deferred[bytes]] = []
        self._answering: list[Deferred[bytes]] = []
        self._claimed = 0
        self._is_claiming = False
        self._is_wanted_again = False
        self._sent_at: float | None = None
        self._patience = TaskPatience()
        self._is_closed = False
        self._ended: asyncio.Future[None] | None = None

    def want(self) -> None:
        """See to it that what is due now is claimed soon; a task is sent unless one is on its way.

        One that is lost is sent again by whoever looks for due ticks: it calls this then.
        """
        if self._is_closed:
            return
        if self._is_claiming:
            self._is_wanted_again = True  # the claim may have looked before it was due
            return
        now = self._loop.time()
        if self._sent_at is not None:
            if now - self._sent_at < self._patience.limit_s:
                return
            self._patience.note_lost()
        self._sent_at = now
        self._sender.send_run_ticks()

    def run_ticks(self) -> Deferred[bytes]:
        """Claim what is due: what a task does; answered with `{"claimed": n}` when that is done."""
        answer: Deferred[bytes] = Deferred()
        self._sent_at = None
        self._patience.note_begun()
        self._asked.append(answer)
        if not self._is_claiming:
            self._begin()
        return answer

    def close(self) -> None:
        """Claim nothing more."""
        self._is_closed = True

    async def finish(self) -> None:
        """Wait for the claim that is under way, within a limit: its ticks are to be given back."""
        if not self._is_claiming:
            return
        self._ended = self._loop.create_future()
        try:
            async with asyncio.timeout(FINISH_S):
                await self._ended
        except TimeoutError:
            logger.warning("due ticks may have been claimed and not begun: they are interrupted")

    def _begin(self) -> None:
        self._answering, self._asked = self._asked, []
        self._claimed = 0
        self._is_wanted_again = False
        self._claim()

    def _claim(self) -> None:
        if self._is_closed or not self._taker.has_room:
            self._end()
            return
        self._is_claiming = True
        self._store.claim(self._can_run).then(self._on_claimed)

    def _on_claimed(self, claimed: Deferred[Claims]) -> None:
        if claimed.error is not None:
            self._end(claimed.error)
            return
        claims = claimed.value
        self._claimed += len(claims.ticks)
        self._taker.take(claims.ticks)
        if claims.has_more:
            self._claim()
        else:
            self._end()

    def _end(self, error: Exception | None = None) -> None:
        self._is_claiming = False
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        answering, self._answering = self._answering, []
        for answer in answering:
            if error is None:
                answer.resolve(b'{"claimed":%d}' % self._claimed)
            else:
                answer.reject(error)
        # After a failure nobody is asked at once: whoever looks for due ticks asks again.
        if self._asked or (self._is_wanted_again and error is None and not self._is_closed):
            self._begin()
