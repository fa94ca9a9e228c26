"""A worker is away while its schedules are due, and comes back: what is run, and what ticks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.cron_schedule import OPEN, SECOND_MS, Schedule, Tick, gaps, now_ms, unix_ms
from tests.acceptance.deployment import Deployment, embedded, with_services
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until

AWAY_TICKS: Final = 10

# How late a tick of every second may begin.
GRACE_MS: Final = 2_000
LIMIT_S: Final = 20


@pytest.fixture(scope="module", params=[embedded, with_services], ids=["sqlite", "services"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """One of each kind for all tests here."""
    deploy: Callable[[Path], Any] = request.param
    with deploy(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.fixture
def driver(deployment: Deployment) -> Iterator[RawWorker]:
    """A worker that asks the deployment's engine."""
    with RawWorker(deployment.engine.worker_url) as driver:
        yield driver


class Story:
    """A worker that leaves and comes back, with a schedule for every second.

    Attributes:
        schedule: as the engine knows it.
        left_at, back_at: the worker was away in between; Unix ms.
        called: the times it was called with, before it left and after it came back.
    """

    def __init__(self, deployment: Deployment, driver: RawWorker, misfire: str) -> None:
        self.schedule = Schedule(driver)
        self.called: list[int] = []
        self._url = deployment.engine.worker_url
        self._misfire = misfire
        with self._worker():
            wait_until(lambda: len(self._done()) >= 2, "it is called", LIMIT_S)
        self.left_at, self._before = now_ms(), len(self.called)
        back_at = self.left_at + AWAY_TICKS * SECOND_MS
        wait_until(lambda: now_ms() > back_at, "it was away for so many ticks", LIMIT_S)
        with self._worker():
            self.back_at = now_ms()
            wait_until(
                lambda: self.called and self.called[-1] > self.back_at + SECOND_MS,
                "it is called as before",
                LIMIT_S,
            )
        end = now_ms()
        wait_until(lambda: self._has_ended_until(end), "all ticks have ended", LIMIT_S)
        assert gaps(self.schedule.ticks()) == []
        assert sorted(set(self.called)) == sorted(self.called)

    @property
    def made_up(self) -> list[int]:
        """The times of the calls after the comeback that were due before it."""
        return [at for at in self.called[self._before :] if at <= self.back_at]

    @property
    def overlapping(self) -> list[int]:
        """The times that could have been made up for, but not beside the one that was."""
        return [tick.scheduled_at for tick in self.schedule.ticks() if tick.reason == "overlap"]

    def missed(self) -> list[Tick]:
        """Return the ticks of the time away that were not run."""
        return [
            tick
            for tick in self.schedule.ticks()
            if self.left_at < tick.scheduled_at <= self.back_at
            and tick.scheduled_at not in self.called
        ]

    @contextmanager
    def _worker(self) -> Iterator[None]:
        function_id = f"{self.schedule.id}::run"
        config = {"expression": "* * * * * * *", "schedule_id": self.schedule.id}
        with RawWorker(self._url) as worker:
            worker.serve(
                function_id, lambda data: self.called.append(unix_ms(data["scheduled_time"]))
            )
            worker.bind("cron", function_id, config | {"misfire": self._misfire})
            yield
            worker.kill()

    def _done(self) -> list[Tick]:
        return [tick for tick in self.schedule.ticks() if tick.state == "done"]

    def _has_ended_until(self, end_ms: int) -> bool:
        ticks = self.schedule.ticks()
        return all(tick.state not in OPEN for tick in ticks if tick.scheduled_at <= end_ms)


def test_ticks_that_are_skipped_say_that_no_worker_was_there(
    deployment: Deployment, driver: RawWorker
) -> None:
    story = Story(deployment, driver, "skip")

    in_time = story.back_at - GRACE_MS - SECOND_MS
    missed = [tick for tick in story.missed() if tick.scheduled_at not in story.overlapping]
    assert {(tick.state, tick.reason) for tick in missed} == {("missed", "no_worker")}
    assert story.made_up
    assert all(at > in_time for at in story.made_up + story.overlapping)
    assert len(story.missed()) + len(story.made_up) >= AWAY_TICKS


def test_only_the_last_one_is_made_up_where_it_says_once(
    deployment: Deployment, driver: RawWorker
) -> None:
    story = Story(deployment, driver, "once")

    assert {(tick.state, tick.reason) for tick in story.missed()} == {("missed", "superseded")}
    assert len(story.made_up) == 1
    assert story.missed()[-1].scheduled_at < story.made_up[0]
    assert len(story.missed()) >= AWAY_TICKS - 1
