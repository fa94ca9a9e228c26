"""The deliveries of one subscription in this engine: claimed in turns, started, settled."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.deferred import Deferred
from engine.core.invocations import CHANNEL_FULL
from engine.core.log_limit import LogLimit
from engine.core.outgoing import RESULT
from engine.core.protocol import decode_error, encode_error
from engine.modules.queue.adapters.base import (
    Delivery,
    Done,
    Outcome,
    QueueStore,
    Returned,
    Subscription,
    Turn,
)
from engine.modules.queue.attempt import Attempt, Target
from engine.modules.queue.failure import failed
from kv.clock import now_ms

if TYPE_CHECKING:
    from engine.modules.queue.drains import Drain, Drains

logger = logging.getLogger(__name__)

MAX_PREFETCH: Final = 256
MAX_PREFETCH_BYTES: Final = 16 * 1024 * 1024
"""What is claimed ahead at most, beyond the deliveries that may be executing."""

TURNS_AHEAD: Final = 4.0
"""How many turns' time of work is claimed ahead: larger batches are cheaper for each message."""

EASE: Final = 0.125
"""How much one measurement counts against those before it."""

FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
"""How long to wait after a failure of the store, or of a worker's queue: doubled each time."""

COMPLAINT_INTERVAL_S: Final = 10.0


class Consumer:
    """One subscription as this engine delivers it.

    At most one turn of the store is on its way. It takes along the outcomes since the last one
    and, while a drain covers the subscription, claims what there is room for: as many as may be
    executing, and as many more as are likely to be finished before the next turn is answered.
    Slow handlers so have nothing claimed ahead, fast ones do not wait for commits.

    Args:
        store: where the deliveries are.
        subscription: whose they are.
        drains: asked for a drain when something is due and none is there.

    Attributes:
        subscription: as the store last said it.
        target: how deliveries are made; None while no worker has the subscription.
    """

    def __init__(self, store: QueueStore, subscription: Subscription, drains: Drains) -> None:
        self.subscription = subscription
        self.target: Target | None = None
        self._store = store
        self._drains = drains
        self._loop = asyncio.get_running_loop()
        self._open: set[Drain] = set()
        self._ready: deque[Delivery] = deque()
        self._executing: dict[int, Attempt] = {}
        self._outcomes: list[Outcome] = []
        self._sent: Sequence[Outcome] = ()
        self._may_have_more = False
        self._is_turning = False
        self._is_scheduled = False
        self._is_starting = False
        self._is_closed = False
        self._is_winding_down = False
        self._is_paused = subscription.is_paused
        self._turn_s = 0.0
        self._handler_s = 0.0
        self._size = 0.0
        self._turn_began = 0.0
        self._pause_s = 0.0
        self._resting: asyncio.TimerHandle | None = None
        self._run_timer: asyncio.TimerHandle | None = None
        self._timeout_timer: asyncio.TimerHandle | None = None
        self._flushed: list[asyncio.Future[None]] = []
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    @property
    def id(self) -> int:
        """The id of the subscription."""
        return self.subscription.id

    @property
    def is_busy(self) -> bool:
        """Whether anything of it is on its way."""
        return bool(self._executing or self._ready or self._outcomes or self._is_turning)

    def is_executing(self, attempt: Attempt) -> bool:
        """Tell whether an attempt still counts: it has neither ended nor timed out."""
        return self._executing.get(attempt.delivery.id) is attempt

    # --- what others say ------------------------------------------------------------------------

    def update(self, subscription: Subscription) -> None:
        """Take what the store says of the subscription now."""
        self.subscription = subscription
        self._is_paused = subscription.is_paused
        self.wake()

    def set_target(self, target: Target | None) -> None:
        """Deliver so from now on; None: give back what has not been started."""
        self.target = target
        if target is None:
            self._schedule()
        else:
            self.wake()

    def set_paused(self, is_paused: bool) -> None:
        """Start nothing more of it, or go on."""
        self._is_paused = is_paused
        if is_paused:
            self._schedule()
        else:
            self.wake()

    def wind_down(self) -> None:
        """Claim and start nothing more; what is executing is still settled."""
        self._is_winding_down = True
        self._cancel(self._run_timer)
        self._schedule()

    def close(self) -> None:
        """Forget everything: the subscription is gone."""
        self._is_closed = True
        self.target = None
        self._ready.clear()
        self._executing.clear()
        self._outcomes.clear()
        for timer in (self._resting, self._run_timer, self._timeout_timer):
            self._cancel(timer)
        self._settle_flushed()

    def wake(self) -> None:
        """Look for due deliveries: there may be new ones."""
        self._may_have_more = True
        if self._open:
            self._schedule()
        else:
            self._want_drain()

    def note_message(self, run_at_ms: int) -> None:
        """Look for a new message when it is due: at a time of its own, or after the delay of all.

        Args:
            run_at_ms: not before this time, Unix milliseconds; 0 for at once.
        """
        delay_ms = self.subscription.policy.delay_ms
        if run_at_ms or delay_ms:
            self.wake_at(max(run_at_ms, now_ms() + delay_ms))
        elif not self._may_have_more:  # else whatever keeps it from looking now will let it look
            self.wake()

    def wake_at(self, run_at_ms: int) -> None:
        """Look for due deliveries at a time, unless an earlier one is known."""
        when = self._loop.time() + max(0.0, (run_at_ms - now_ms()) / 1000)
        timer = self._run_timer
        if timer is not None and not timer.cancelled() and timer.when() <= when:
            return
        self._cancel(timer)
        self._run_timer = self._loop.call_at(when, self._on_run_timer)

    def look(self) -> None:
        """Have a turn if deliveries are executing, in case another engine wants to have some."""
        if self._executing and not self._is_turning and self._resting is None:
            self._send_turn(0)

    def open(self, drain: Drain) -> None:
        """Be covered by a drain: deliveries may be claimed."""
        self._open.add(drain)
        # Whoever sent the drain may know more than this engine does.
        self._may_have_more = True
        self._schedule()

    def leave(self, drain: Drain) -> None:
        """Be covered by it no longer; what is claimed is delivered."""
        self._open.discard(drain)
        self._want_drain()

    @property
    def wants_drain(self) -> bool:
        """Whether a drain could claim something."""
        return (
            self._may_have_more
            and self._resting is None
            and self._is_deliverable
            and self._room() > 0
        )

    async def flush(self) -> None:
        """Wait until nothing is left to be stored."""
        if self._outcomes or self._is_turning or self._ready:
            flushed = self._loop.create_future()
            self._flushed.append(flushed)
            self._schedule()
            await flushed

    # --- attempts -------------------------------------------------------------------------------

    @property
    def _is_deliverable(self) -> bool:
        return self.target is not None and not self._is_paused and not self._is_winding_down

    def settle(self, attempt: Attempt, kind: bytes, value: bytes | msgspec.Raw) -> None:
        """Take the outcome of an attempt, unless it comes too late."""
        delivery = attempt.delivery
        if self._executing.get(delivery.id) is not attempt:
            return
        del self._executing[delivery.id]
        self._handler_s += EASE * (monotonic() - attempt.started - self._handler_s)
        if kind is RESULT:
            self._outcomes.append(Done(delivery.id, delivery.attempt))
            # The next one leaves with this tick's frames. After an error it does not: the worker
            # may be about to go, and its trigger with it.
            if self._ready and not self._is_starting:
                self._start()
        else:
            self._settle_failure(delivery, bytes(value))
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _settle_failure(self, delivery: Delivery, error: bytes) -> None:
        if decode_error(error).code == CHANNEL_FULL:  # it has not got it: that was no attempt
            self._outcomes.append(Returned(delivery.id, delivery.attempt))
            self._rest("the worker does not keep up", delivery.function_id)
        else:
            policy = self.subscription.policy
            self._outcomes.append(failed(delivery, error, policy, now_ms()))

    def _start(self) -> None:
        """Start what is claimed, as far as it may be executing now."""
        ready, executing = self._ready, self._executing
        if not ready:
            return
        if not self._is_deliverable:
            self._outcomes += [Returned(each.id, each.attempt) for each in ready]
            ready.clear()
            return
        assert self.target is not None
        self._is_starting = True  # what is answered at once ends before the next one begins
        concurrency = self.subscription.policy.concurrency
        while ready and len(executing) < concurrency and self._resting is None:
            delivery = ready.popleft()
            if delivery.expires_at_ms is not None and delivery.expires_at_ms <= now_ms():
                self._outcomes.append(Done(delivery.id, delivery.attempt, is_success=False))
                continue
            attempt = executing[delivery.id] = Attempt(self, delivery, self.target)
            attempt.begin()
        self._is_starting = False
        if self.subscription.policy.visibility_timeout_ms and executing:
            self._watch_timeouts()

    def _watch_timeouts(self) -> None:
        if self._timeout_timer is None:
            limit_s = self.subscription.policy.visibility_timeout_ms / 1000
            oldest = next(iter(self._executing.values()))
            delay_s = max(0.0, oldest.started + limit_s - monotonic())
            self._timeout_timer = self._loop.call_later(delay_s, self._on_timeout)

    def _on_timeout(self) -> None:
        """Count attempts as failed that have taken too long."""
        self._timeout_timer = None
        limit_ms = self.subscription.policy.visibility_timeout_ms
        if not limit_ms:
            return
        late = monotonic() - limit_ms / 1000
        for attempt in [each for each in self._executing.values() if each.started <= late]:
            error = encode_error(
                "visibility_timeout", f"no result within {limit_ms} ms; a later one is dropped"
            )
            self._settle_failure(self._executing.pop(attempt.delivery.id).delivery, error)
        self._schedule()
        if self._executing:
            self._watch_timeouts()

    # --- turns ----------------------------------------------------------------------------------

    def _schedule(self) -> None:
        # Not at once: the outcomes of one read of a socket share a turn, and a connection that
        # ends takes its trigger along before anything is started on it.
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._is_scheduled = False
        if self._is_closed:
            return
        self._start()
        if not self._is_turning and self._resting is None:
            is_claiming = self._may_have_more and self._open and self._is_deliverable
            limit = self._room() if is_claiming else 0
            if limit or self._outcomes:
                self._send_turn(limit)
        if self._may_have_more and not self._open:
            self._want_drain()
        if self._flushed and not (self._outcomes or self._is_turning or self._ready):
            self._settle_flushed()

    def _room(self) -> int:
        """Return how many more deliveries may be claimed."""
        concurrency = self.subscription.policy.concurrency
        room = concurrency - len(self._executing) - len(self._ready)
        if self._handler_s > 0:
            ahead = int(concurrency * self._turn_s / self._handler_s * TURNS_AHEAD)
            if ahead:
                most = MAX_PREFETCH_BYTES // (1 + int(self._size))
                room += min(MAX_PREFETCH, most, ahead)
        return room if room > 0 else 0

    def _send_turn(self, limit: int) -> None:
        self._is_turning = True
        if limit:
            self._may_have_more = False
        self._sent, self._outcomes = self._outcomes, []
        self._turn_began = monotonic()
        self._store.turn(self.id, self._sent, limit).then(self._on_turn)

    def _on_turn(self, turned: Deferred[Turn]) -> None:
        self._is_turning = False
        if self._is_closed:
            return
        if turned.error is not None:
            # Nothing of it was stored: the outcomes go with the next one.
            self._outcomes = [*self._sent, *self._outcomes]
            self._may_have_more = True
            self._rest(f"the store failed, outcomes wait: {turned.error}", "")
            return
        turn = turned.value
        self._sent = ()
        self._pause_s = 0.0
        self._turn_s += EASE * (monotonic() - self._turn_began - self._turn_s)
        if turn.lost:
            logger.info(
                "%d outcomes came too late: somebody else has had the deliveries since",
                turn.lost,
                extra={"queue": self.subscription.queue.name},
            )
        if turn.claimed:
            self._ready.extend(turn.claimed)
            size = max([len(each.data) for each in turn.claimed])
            self._size = max(size, self._size - EASE * (self._size - size))
            for drain in self._open:
                drain.note_claimed(len(turn.claimed))
        if turn.has_more:
            self._may_have_more = True
        if turn.next_run_at_ms is not None:
            self.wake_at(turn.next_run_at_ms)
        self._schedule()

    def _want_drain(self) -> None:
        if not self._open and self.wants_drain:
            self._drains.want(self)

    def _on_run_timer(self) -> None:
        self._run_timer = None
        self.wake()

    def _rest(self, problem: str, function_id: str) -> None:
        """Do nothing for a while, longer each time until a turn succeeds."""
        subscription = self.subscription
        self._complaints.warning(
            f"queue {subscription.queue.name}: {problem}",
            {"function_id": function_id or subscription.function_id},
        )
        if self._resting is None:
            self._pause_s = min(LAST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
            self._resting = self._loop.call_later(self._pause_s, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        self._schedule()

    def _settle_flushed(self) -> None:
        for each in self._flushed:
            if not each.done():
                each.set_result(None)
        self._flushed.clear()

    @staticmethod
    def _cancel(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
