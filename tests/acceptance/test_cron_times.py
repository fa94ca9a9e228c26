"""Expressions of seven fields call their function at the right second, by the real clock."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import pytest

from tests.acceptance.cron_schedule import in_utc, now_ms, unix_ms
from tests.acceptance.deployment import Deployment, embedded
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until

# What a run may be late by on a busy machine; it never is early.
LATE_MS: Final = 1_000


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One for all tests here."""
    with embedded(tmp_path_factory.mktemp("embedded")) as deployment:
        yield deployment


@pytest.fixture
def driver(deployment: Deployment) -> Iterator[RawWorker]:
    """A worker whose functions the clock calls."""
    with RawWorker(deployment.engine.worker_url) as driver:
        yield driver


class Calls:
    """The calls of one function: when it was due, and when it was called; Unix ms."""

    def __init__(self, driver: RawWorker, **config: Any) -> None:
        self.times: list[tuple[int, int]] = []
        function_id = f"clock::{uuid.uuid4()}"
        driver.serve(function_id, self._take)
        driver.bind("cron", function_id, config)

    def _take(self, data: dict[str, Any]) -> None:
        self.times.append((unix_ms(data["scheduled_time"]), now_ms()))

    def wait(self, count: int, limit_s: float) -> list[dt.datetime]:
        """Return for when the first calls were due, once there are so many; none may be early."""
        wait_until(lambda: len(self.times) >= count, f"it is called {count} times", limit_s)
        for scheduled_at, came_at in self.times:
            assert 0 <= came_at - scheduled_at < LATE_MS
        return [in_utc(scheduled_at) for scheduled_at, _ in self.times[:count]]


@pytest.mark.parametrize(
    ("expression", "seconds", "count", "limit_s"),
    [
        ("*/30 * * * * * *", {0, 30}, 1, 32),
        ("*/2 * * * * * *", set(range(0, 60, 2)), 3, 10),
        ("*/2 * * * * *", set(range(0, 60, 2)), 3, 10),
        ("1/3 * * * * * *", set(range(1, 60, 3)), 2, 10),
        ("0-59/5 * * ? * ? 2020-2100", set(range(0, 60, 5)), 1, 10),
    ],
)
def test_seconds_are_kept(
    driver: RawWorker, expression: str, seconds: set[int], count: int, limit_s: float
) -> None:
    times = Calls(driver, expression=expression).wait(count, limit_s)

    assert {each.second for each in times} <= seconds
    step_s = 60 / len(seconds)
    for before, after in pairwise(times):
        assert (after - before).total_seconds() == step_s


# Far enough to be registered before, and near enough to be waited for.
_AHEAD: Final = dt.timedelta(seconds=3)


@pytest.mark.parametrize(
    "write",
    [
        lambda at: at.strftime("%S %M %H %d %m * %Y"),
        lambda at: at.strftime("%S %M %H ? %b %a *"),
        lambda at: at.strftime("%S %M %H * %B %A %Y-2100"),
        lambda at: f"{at:%S %M %H} * * {at.isoweekday() % 7 + 1} {at:%Y}",
    ],
    ids=["numbers", "short names", "long names", "number of the weekday"],
)
def test_a_single_second_is_met(driver: RawWorker, write: Callable[[dt.datetime], str]) -> None:
    at = (dt.datetime.now(dt.UTC) + _AHEAD).replace(microsecond=0)

    assert Calls(driver, expression=write(at)).wait(1, 10) == [at]


def test_an_hour_is_that_of_its_zone(driver: RawWorker) -> None:
    at = (dt.datetime.now(dt.UTC) + _AHEAD).replace(microsecond=0)
    there = at.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=45)))

    calls = Calls(driver, expression=f"{there:%S %M %H} * * * *", timezone="Asia/Kathmandu")

    assert calls.wait(1, 10) == [at]


def test_what_matches_another_day_or_year_does_not_fire(driver: RawWorker) -> None:
    today = dt.datetime.now(dt.UTC)
    other = today + dt.timedelta(days=2)
    silent = [
        Calls(driver, expression="* * * * * * 2020"),
        Calls(driver, expression=f"* * * * * {other:%a} *"),
        Calls(driver, expression=f"* * * {other.day} * {today:%a} *"),  # both, not either
    ]

    Calls(driver, expression="* * * * * * *").wait(3, 10)

    assert [each.times for each in silent] == [[], [], []]
