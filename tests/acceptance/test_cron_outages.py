"""Schedules on PostgreSQL and Redis while one of the two, or what plans and runs them, is away."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.acceptance.deployment import Deployment, with_services
from tests.acceptance.processes import Process
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until

FINAL: Final = {"done", "missed"}
"""How the ticks of these schedules end: nothing overlaps, nothing fails."""

UNDER_WAY: Final = {"due", "running"}

LIMIT_S: Final = 60

PLANS_NOTHING: Final = "the clock of schedules broke"
PLANS_AGAIN: Final = "the clock of schedules runs again"


class Site:
    """A deployment with one schedule of every second.

    Attributes:
        calls: how often it was called for each time.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.calls: Counter[str] = Counter()
        self.worker = RawWorker(deployment.engine.worker_url)
        self.worker.serve("shop::tick", self._note)
        # Those that come late come together.
        each_second = {"expression": "* * * * * *", "schedule_id": "tick", "overlap": "allow"}
        self.worker.bind("cron", "shop::tick", each_second)
        self.until_called(2)

    @property
    def touched(self) -> list[Process]:
        """The processes whose output helps when a test fails."""
        return self.deployment.touched

    def until_called(self, more: int) -> None:
        """Wait until the worker was called so many times more."""
        count = len(self.calls) + more
        wait_until(lambda: len(self.calls) >= count, f"it is called {more} times more", LIMIT_S)

    def ticks(self) -> list[dict[str, Any]]:
        """Return the ticks, the newest first."""
        listed = self.worker.call("engine::cron::ticks", {"schedule_id": "tick", "limit": 500})
        return list(listed["ticks"])

    def late(self) -> int:
        """Count the ticks that nothing has executed in time."""
        return sum(each["reason"] == "late" for each in self.ticks())

    def check(self) -> set[str]:
        """Check that every second has a tick that ended as it should; return the reasons."""
        newest = self.ticks()[0]["tick_id"]

        def are_over() -> list[dict[str, Any]]:
            ticks = [each for each in self.ticks() if each["tick_id"] <= newest]
            return [] if any(each["state"] in UNDER_WAY for each in ticks) else ticks

        ticks = wait_until(are_over, "the ticks end", LIMIT_S)
        times = [each["scheduled_time"] for each in ticks]
        assert len(set(times)) == len(times)
        assert [each for each in ticks if each["state"] not in FINAL] == []
        done = {each["scheduled_time"] for each in ticks if each["state"] == "done"}
        assert done <= set(self.calls)
        assert set(self.calls.values()) == {1}
        seconds = [_unix(each) for each in sorted(times)]
        assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
        return {each["reason"] for each in ticks if each["state"] == "missed"}

    def _note(self, payload: dict[str, Any]) -> None:
        self.calls[payload["scheduled_time"]] += 1


def _unix(time_then: str) -> int:
    return int(time.mktime(time.strptime(time_then[:19], "%Y-%m-%dT%H:%M:%S")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests here."""
    with with_services(tmp_path_factory.mktemp("outages")) as deployment:
        site = Site(deployment)
        yield site
        site.worker.close()


def beat_of(site: Site) -> Process:
    assert site.deployment.beat is not None
    return site.deployment.beat


def test_schedules_go_on_after_postgresql_was_away(site: Site) -> None:
    beat, postgres = beat_of(site), site.deployment.postgres
    assert postgres is not None
    said = beat.output
    postgres.stop()
    wait_until(lambda: PLANS_NOTHING in beat.output, "beat notices")
    postgres.start()

    wait_until(lambda: PLANS_AGAIN in beat.output, "beat plans again", LIMIT_S)
    site.until_called(3)
    site.check()
    said = beat.output.removeprefix(said)
    assert said.count(PLANS_NOTHING) == 1
    assert "Traceback" not in said


def test_schedules_go_on_after_redis_was_away(site: Site) -> None:
    beat, redis = beat_of(site), site.deployment.redis
    assert redis is not None
    redis.kill()
    wait_until(lambda: "tasks cannot be sent to" in beat.output, "beat notices")
    before = site.late()
    wait_until(lambda: site.late() > before, "ticks are planned all the same", LIMIT_S)
    redis.start()

    site.until_called(3)
    site.check()
    assert beat.output.count("tasks cannot be sent to") == 1


def test_schedules_go_on_after_beat_was_away(site: Site) -> None:
    beat = beat_of(site)
    assert beat.terminate(limit_s=5) == 0
    beat.start()

    site.until_called(3)
    reasons = site.check()
    assert reasons <= {"late", "not_running"}
