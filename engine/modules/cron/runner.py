"""Runs claimed ticks at their time, never before it, and says what has become of each."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Sequence
from typing import Final

from engine.core.invocations import STOPPED
from engine.modules.cron.claiming import TickTaker
from engine.modules.cron.obstacles import Obstacle, obstacle_of, overlap_of
from engine.modules.cron.outcomes import Outcomes
from engine.modules.cron.records import ClaimedTick, Ended, KnownSchedule, TickState
from engine.modules.cron.run import Run, RunTaker, error_text
from engine.modules.cron.target import Targets
from kv.clock import now_ms

MOST_CLAIMED: Final = 100_000
"""How many ticks may be claimed and not ended; what is due beyond stays in the store."""

RUNS_IN_A_TURN: Final = 64
"""How many begin in one turn of the loop: their calls leave at its end."""

SHORTEST_WAIT_S: Final = 0.001
"""Of the timer: event loops count in milliseconds, and may fire up to one too early."""

LONGEST_WAIT_S: Final = 1.0
"""Of the timer: a clock that is set forward meanwhile is noticed then."""

AGAIN_MS: Final = (100, 1_000)
"""When a call is made again that its worker had no room for; not all of them at once."""

STOP_TEXT: Final = "the engine stopped before it had ended"


class _Schedule:
    """A schedule with claimed ticks.

    Attributes:
        known: as the store last said it.
        waiting: how many ticks wait for their time.
        under_way: its runs, oldest first.
    """

    __slots__ = ("known", "under_way", "waiting")

    def __init__(self, known: KnownSchedule) -> None:
        self.known = known
        self.waiting = 0
        self.under_way: dict[Run, None] = {}


class Runner(TickTaker, RunTaker):
    """The claimed ticks of this engine.

    Args:
        targets: know what can be called here.
        outcomes: take what has become of the ticks.
    """

    def __init__(self, targets: Targets, outcomes: Outcomes) -> None:
        self._targets = targets
        self._outcomes = outcomes
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[int, int, int, Run]] = []
        self._schedules: dict[int, _Schedule] = {}
        self._under_way = 0
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0
        self._is_winding_down = False

    @property
    def has_room(self) -> bool:
        """Whether more ticks may be claimed."""
        claimed = len(self._heap) + self._under_way + self._outcomes.count
        return not self._is_winding_down and claimed < MOST_CLAIMED

    def take(self, ticks: Sequence[ClaimedTick]) -> None:
        """Run ticks at their time; one whose time has come, at once."""
        for tick in ticks:
            if self._is_winding_down:
                self._outcomes.release(tick.id)
                continue
            known = tick.schedule
            schedule = self._schedules.get(known.id)
            if schedule is None:
                schedule = self._schedules[known.id] = _Schedule(known)
            schedule.known = known
            schedule.waiting += 1
            heapq.heappush(self._heap, (tick.run_at, tick.id, tick.attempt, Run(self, tick)))
        self._arm()

    def note(self, known: KnownSchedule) -> None:
        """Learn that a schedule has changed: it counts for ticks that have not begun."""
        schedule = self._schedules.get(known.id)
        if schedule is not None:
            schedule.known = known

    def wind_down(self) -> None:
        """Begin nothing more, and give back what was not begun; what is under way goes on."""
        self._is_winding_down = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, tick_id, _, _ in self._heap:
            self._outcomes.release(tick_id)
        self._heap.clear()

    # --- the clock ------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Wait for the earliest tick."""
        if not self._heap:
            return
        run_at = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= run_at:
                return
            self._timer.cancel()
        self._timer_at = run_at
        wait_s = run_at / 1_000 - time.time()
        if wait_s <= 0:
            self._timer = self._loop.call_soon(self._run_due)
        else:
            wait_s = min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, wait_s))
            self._timer = self._loop.call_later(wait_s, self._run_due)

    def _run_due(self) -> None:
        """Begin what is due; what is not, as after the clock was set back, waits on."""
        self._timer = None
        heap = self._heap
        now = now_ms()
        try:
            for _ in range(RUNS_IN_A_TURN):
                if not heap or heap[0][0] > now:
                    break
                self._begin(heapq.heappop(heap)[-1], now)
        finally:
            self._arm()

    def _begin(self, run: Run, now: int) -> None:
        tick = run.tick
        schedule = self._schedules[tick.schedule.id]
        schedule.waiting -= 1
        known = schedule.known
        # Overlaps first: this engine also gets ticks of schedules that are no longer its own, as
        # long as a run of theirs is under way here.
        obstacle = obstacle_of(tick, known, now) or self._overlap(schedule)
        target = self._targets.find(known) if obstacle is None else None
        if target is not None:
            schedule.under_way[run] = None
            self._under_way += 1
            run.begin(target, known.settings.timeout_ms)
            return
        if obstacle is not None:
            self._outcomes.add(_not_run(tick, obstacle, now))
        else:
            # Its worker has gone since: another engine may have the schedule, or the worker may
            # be back before the tick is given up.
            self._outcomes.release(tick.id)
        self._drop_if_over(schedule)

    @staticmethod
    def _overlap(schedule: _Schedule) -> Obstacle | None:
        if not schedule.under_way:
            return None
        oldest = next(iter(schedule.under_way))
        return overlap_of(
            schedule.known, len(schedule.under_way), oldest.tick.scheduled_at, oldest.began_at
        )

    # --- what becomes of runs -------------------------------------------------------------------

    def ended(self, run: Run, state: TickState, reason: str, error: str) -> None:
        """Store what became of a run."""
        self._forget(run)
        tick = run.tick
        self._outcomes.add(
            Ended(
                tick.id,
                tick.attempt,
                state,
                now_ms(),
                reason,
                error,
                run.job_id,
                run.trace_id,
                run.started_at,
            )
        )

    def stopped(self, run: Run) -> None:
        """Take it that its worker has gone: a failure, unless it is the engine that stops."""
        if not self._is_winding_down:
            self.ended(run, TickState.FAILED, "", error_text(STOPPED))
        elif run.tick.schedule.settings.repeat_interrupted:
            self._forget(run)  # it stays claimed: whoever finds this engine gone repeats it
        else:
            self.ended(run, TickState.INTERRUPTED, "", STOP_TEXT)

    def refused(self, run: Run) -> None:
        """Try again after a while, as long as the tick may begin: nothing was called."""
        tick = run.tick
        if self._is_winding_down:
            self._outcomes.release(tick.id)
        else:
            schedule = self._schedules[tick.schedule.id]
            schedule.waiting += 1
            again_at = now_ms() + random.randint(*AGAIN_MS)
            heapq.heappush(self._heap, (again_at, tick.id, tick.attempt, Run(self, tick)))
            self._arm()
        self._forget(run)

    def _forget(self, run: Run) -> None:
        schedule = self._schedules[run.tick.schedule.id]
        del schedule.under_way[run]
        self._under_way -= 1
        self._drop_if_over(schedule)

    def _drop_if_over(self, schedule: _Schedule) -> None:
        if not schedule.waiting and not schedule.under_way:
            self._schedules.pop(schedule.known.id, None)


def _not_run(tick: ClaimedTick, obstacle: Obstacle, now: int) -> Ended:
    return Ended(
        id=tick.id,
        attempt=tick.attempt,
        state=obstacle.state,
        finished_at=now,
        reason=obstacle.reason,
        error=obstacle.error,
    )
