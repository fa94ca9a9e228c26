"""A store that answers when a test says so, and fails when it says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from engine.core.deferred import Deferred
from engine.core.tasks import TaskSender
from engine.modules.cron.records import ClaimedTick, Claims, Ended, KnownSchedule, Settings
from engine.modules.cron.store.store import CronStore
from kv.clock import now_ms
from kv.stores.executor import StoreUnavailable

_numbers = itertools.count(1)


class ScriptedStore(CronStore):
    """Takes claims, outcomes and released ticks; other methods are not there.

    Attributes:
        claims: asked for and not answered yet.
        finished: the outcomes that it has taken, a list for each commit.
        released: the ticks that it has got back.
        is_away: whatever is asked fails.
        late: how many outcomes of each commit come too late.
    """

    def __init__(self) -> None:
        self.claims: list[Deferred[Claims]] = []
        self.finished: list[list[Ended]] = []
        self.released: list[int] = []
        self.is_away = False
        self.late = 0

    def claim(self, can_run: Callable[[str, str], bool]) -> Deferred[Claims]:
        asked: Deferred[Claims] = Deferred()
        self.claims.append(asked)
        return asked

    def finish(self, ended: Sequence[Ended]) -> Deferred[int]:
        if self.is_away:
            return _failed()
        self.finished.append(list(ended))
        return _done(self.late)

    def release(self, ticks: Sequence[int]) -> Deferred[None]:
        if self.is_away:
            return _failed()
        self.released += ticks
        return _done(None)

    @property
    def ends(self) -> dict[int, Ended]:
        """The outcomes by tick."""
        return {ended.id: ended for batch in self.finished for ended in batch}


class CountedTasks(TaskSender):
    """Counts what is sent."""

    def __init__(self) -> None:
        self.asked = 0
        self.woken = 0

    def send_drain(self, subscriptions: Sequence[int]) -> None:
        raise AssertionError("cron drains no queue")

    def send_run_ticks(self) -> None:
        self.asked += 1

    def wake_clock(self) -> None:
        self.woken += 1


def schedule(row: int = 1, **settings: Any) -> KnownSchedule:
    """Return a worker's schedule that is due every second."""
    return KnownSchedule(
        row, Settings(f"s{row}", "f", "* * * * * * *", **settings), False, False, 0, None
    )


def tick(
    of: KnownSchedule, in_ms: int = 0, *, give_up_in_ms: int | None = 10_000, **members: Any
) -> ClaimedTick:
    """Return a tick that is due so long from now."""
    run_at = now_ms() + in_ms
    given: dict[str, Any] = {
        "id": next(_numbers),
        "attempt": 1,
        "schedule": of,
        "scheduled_at": run_at,
        "run_at": run_at,
        "give_up_at": None if give_up_in_ms is None else run_at + give_up_in_ms,
        "is_manual": False,
        "payload": b"",
    }
    return ClaimedTick(**{**given, **members})


def _done(value: Any) -> Deferred[Any]:
    done: Deferred[Any] = Deferred()
    done.resolve(value)
    return done


def _failed() -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.reject(StoreUnavailable("away"))
    return failed
