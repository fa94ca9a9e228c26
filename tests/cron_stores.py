"""What tests do with cron stores: attach schedules, plan, claim, say what has become of ticks."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from engine.models import Schedule, Tick
from engine.modules.cron.records import ClaimedTick, Ended, KnownSchedule, Settings, TickState
from engine.modules.cron.store.store import CronStore

START_MS = 1_700_000_000_000
"""The present of tests whose clock stands; a whole second."""

SECOND = 1_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

EVERY_SECOND = "* * * * * * *"
EVERY_MINUTE = "0 * * * * * *"
FIRST_MINUTE = START_MS + 40 * SECOND
"""The first whole minute after the start."""

CLOCKS = (
    "engine.modules.cron.store.claims",
    "engine.modules.cron.store.schedules",
    "engine.modules.cron.store.settling",
    "engine.modules.cron.store.store",
    "engine.modules.cron.store.sweeping",
    "engine.modules.cron.store.reading",
)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START_MS
        for module in CLOCKS:
            monkeypatch.setattr(f"{module}.now_ms", lambda: self.now)


def settings(schedule_id: str = "s", **others: Any) -> Settings:
    """Return those of a schedule of every second, unless others are given."""
    values = {"function_id": "f", "expression": EVERY_SECOND, **others}
    return Settings(schedule_id=schedule_id, **values)


async def attach(store: CronStore, schedule_id: str = "s", **others: Any) -> KnownSchedule:
    return await store.attach(settings(schedule_id, **others))


def anything(function_id: str, namespace: str) -> bool:
    """Every function can be called."""
    return True


def nothing(function_id: str, namespace: str) -> bool:
    """No function can be called."""
    return False


async def claim(store: CronStore) -> list[ClaimedTick]:
    return list((await store.claim(anything)).ticks)


def done(tick: ClaimedTick, state: TickState = TickState.DONE, **others: Any) -> Ended:
    return Ended(tick.id, tick.attempt, state, tick.run_at + 5, started_at=tick.run_at, **others)


async def plan_until(store: CronStore, clock: Clock, seconds: int) -> None:
    """Let the clock look once a second, until some seconds after the start."""
    for second in range((clock.now - START_MS) // 1_000 + 1, seconds + 1):
        clock.now = START_MS + second * 1_000
        await store.plan()


async def run_all(store: CronStore) -> list[int]:
    """Claim what is due and end it; return its times."""
    ticks = await claim(store)
    await store.finish([done(tick) for tick in ticks])
    return [tick.scheduled_at for tick in ticks]


@sync_to_async
def rows(alias: str, schedule_id: str = "s") -> list[tuple[int, str, str, int]]:
    """Return the ticks of a schedule: seconds since the start, state, reason, how many it is."""
    found = Tick.objects.using(alias).filter(schedule__schedule_id=schedule_id)
    return [
        (
            (row.scheduled_at - START_MS) // 1_000,
            row.get_state_display(),
            row.reason,
            row.stands_for,
        )
        for row in found.order_by("scheduled_at")
    ]


@sync_to_async
def schedule_row(alias: str, schedule_id: str = "s") -> Schedule:
    return Schedule.objects.using(alias).get(schedule_id=schedule_id)
