"""Whatever is killed, and whenever: each second of each schedule has one tick, run at most once.

By hand with more: `III_CRASH_SEEDS=20`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pytest

from tests.acceptance.cron_schedule import (
    OPEN,
    SECOND_MS,
    Tick,
    gaps,
    listed,
    now_ms,
    repeated,
    ticks_of,
)
from tests.acceptance.cron_worker import SCHEDULES, CronWorker, Note, schedule_id
from tests.acceptance.deployment import (
    Deployment,
    DoubleDeployment,
    Victim,
    doubled,
    kill_and_start,
)
from tests.acceptance.raw_worker import CallFailed, RawWorker
from tests.waiting import wait_until

Part = Literal["engine", "worker", "celery", "beat", "redis", "postgres"]

SEEDS: Final = range(int(os.environ.get("III_CRASH_SEEDS", "3")))
TICKS_EACH: Final = 10
KILLS: Final = 2
KILLS_OF_TWO: Final = 3
FIRST_KILL_S: Final = 1.0
LAST_KILL_S: Final = 9.0

# A killed engine counts as live on PostgreSQL until its lease is over.
FINISH_LIMIT_S: Final = 90
# A killed part is back by then, and what it has to do is done again.
BACK_LIMIT_S: Final = 60

# What a tick may be of which its function was called, or may have been.
CALLED: Final = frozenset({"done", "failed", "interrupted"})


@pytest.fixture(scope="module")
def double_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoubleDeployment]:
    """One for all tests here."""
    with doubled(tmp_path_factory.mktemp("doubled")) as deployment:
        yield deployment


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", ["engine", "worker"])
def test_every_tick_is_accounted_for_on_sqlite(
    embedded_deployment: Deployment, part: Part, seed: int, tmp_path: Path
) -> None:
    survive_one(embedded_deployment, part, seed, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", ["engine", "worker", "celery", "beat", "redis", "postgres"])
def test_every_tick_is_accounted_for_with_services(
    services_deployment: Deployment, part: Part, seed: int, tmp_path: Path
) -> None:
    survive_one(services_deployment, part, seed, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_tick_is_accounted_for_with_two_engines_and_two_beats(
    double_deployment: DoubleDeployment, seed: int, tmp_path: Path
) -> None:
    prefix = f"double-{seed}"
    workers = [
        CronWorker(engine.worker_url, prefix, tmp_path / name)
        for name, engine in zip(("one", "other"), double_deployment.engines, strict=True)
    ]
    chosen = random.Random(seed)
    victims: list[Victim] = [chosen.choice(double_deployment.touched) for _ in range(KILLS_OF_TWO)]
    survive(double_deployment.engines[0].worker_url, prefix, workers, victims, chosen)


def survive_one(deployment: Deployment, part: Part, seed: int, folder: Path) -> None:
    """Kill one part of a deployment at random moments, or the worker."""
    prefix = f"{part}-{seed}"
    url = deployment.engine.worker_url
    worker = CronWorker(url, prefix, folder)
    victims: dict[Part, Victim | None] = {
        "engine": deployment.engine,
        "worker": worker,
        "celery": deployment.celery_worker,
        "beat": deployment.beat,
        "redis": deployment.redis,
        "postgres": deployment.postgres,
    }
    victim = victims[part]
    assert victim is not None
    survive(url, prefix, [worker], [victim] * KILLS, random.Random(seed))


def survive(
    url: str,
    prefix: str,
    workers: Sequence[CronWorker],
    victims: Sequence[Victim],
    chosen: random.Random,
) -> None:
    """Kill each victim at a random moment of ten seconds, start it again, and look at all ticks."""
    moments = sorted(chosen.uniform(FIRST_KILL_S, LAST_KILL_S) for _ in victims)
    for worker in workers:
        worker.start()
    try:
        with RawWorker(url) as driver:
            wait_until(partial(are_known, driver, prefix), "all schedules are known", BACK_LIMIT_S)
        known_at, began = now_ms(), time.monotonic()
        for moment, victim in zip(moments, victims, strict=True):
            wait_until(partial(is_over, began + moment), "it is time", BACK_LIMIT_S)
            kill_and_start(victim)
        wait_until(partial(are_called_again, workers, now_ms()), "all are called", BACK_LIMIT_S)
        until = known_at + TICKS_EACH * SECOND_MS
        wait_until(lambda: now_ms() > until, "so many ticks are due", 2 * TICKS_EACH)
        ended_at = now_ms()
        for worker in workers:
            assert worker.terminate() == 0
        with RawWorker(url) as driver:
            ticks = all_ended(driver, prefix)
    finally:
        for worker in workers:
            worker.kill()
    check(ticks, [note for worker in workers for note in worker.notes()], known_at, ended_at)


def is_over(moment: float) -> bool:
    """Say whether a moment of the steady clock is over."""
    return time.monotonic() >= moment


def are_known(driver: RawWorker, prefix: str) -> bool:
    """Say whether the engine has all schedules."""
    return len(listed(driver, f"{prefix}::")) == SCHEDULES


def are_called_again(workers: Sequence[CronWorker], since_ms: int) -> bool:
    """Say whether every function was called with a time after this one, by whichever engine."""
    notes = [note for worker in workers for note in worker.notes()]
    return len({note.number for note in notes if note.scheduled_at > since_ms}) == SCHEDULES


def all_ended(driver: RawWorker, prefix: str) -> list[list[Tick]]:
    """Return the ticks of each schedule, once all of them have ended: no more are planned."""
    found: list[list[Tick]] = []

    def have_ended() -> bool:
        try:
            found[:] = [ticks_of(driver, schedule_id(prefix, n)) for n in range(SCHEDULES)]
        except CallFailed:  # the database is not back yet
            return False
        return not [tick for ticks in found for tick in ticks if tick.state in OPEN]

    wait_until(have_ended, "every tick has a final state", FINISH_LIMIT_S)
    return found


def check(ticks: list[list[Tick]], notes: list[Note], known_at: int, ended_at: int) -> None:
    """Assert that no tick is absent, none was run twice, and each says what has become of it."""
    for number, of_schedule in enumerate(ticks):
        called = [note.scheduled_at for note in notes if note.number == number]
        assert of_schedule[0].scheduled_at <= known_at + SECOND_MS, number
        assert of_schedule[-1].scheduled_at > ended_at - SECOND_MS, number
        assert gaps(of_schedule) == [], number
        assert repeated(called) == [], number

        by_time = {tick.scheduled_at: tick for tick in of_schedule}
        strange = [by_time.get(at) for at in called if not_called(by_time.get(at))]
        assert strange == [], number
        done = {tick.scheduled_at for tick in of_schedule if tick.state == "done"}
        assert done <= set(called), number
        assert len(done) >= TICKS_EACH // 4, number


def not_called(tick: Tick | None) -> bool:
    """Say whether a tick denies that its function was called."""
    return tick is None or tick.state not in CALLED
