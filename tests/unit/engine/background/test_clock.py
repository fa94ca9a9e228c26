from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from engine.background.alarm import Alarm
from engine.background.clock import LEAST_PAUSE_S, ScheduleClock
from engine.background.lasting_thread import LastingThread
from engine.background.planners import NEWS_PAUSE_S, Planner, PlanningFailed
from engine.modules.cron.records import LEAD_MS, Planned
from kv.clock import now_ms
from tests.waiting import wait_until

LIMIT_S = 10.0

NOTHING = Planned(0, None, ())


class Script(Planner):
    """Plans what stands in a script, its last line for ever.

    Attributes:
        looks: when it was asked, in seconds.
        pauses: how long it was to wait after each look, if at all.
        closed: how often it was given back.
    """

    idle_pause_s = 30.0

    def __init__(
        self, script: Sequence[Planned | Exception | None], *, serves_own_engine: bool = False
    ) -> None:
        self.serves_own_engine = serves_own_engine
        self.looks: list[float] = []
        self.pauses: list[float] = []
        self.closed = 0
        self._script = list(script)
        self._is_over = False

    def plan(self) -> Planned | None:
        self.looks.append(time.monotonic())
        self._is_over = len(self._script) == 1
        line = self._script[0] if self._is_over else self._script.pop(0)
        if isinstance(line, Exception):
            raise line
        return line

    def wait(self, alarm: Alarm, timeout_s: float) -> None:
        self.pauses.append(timeout_s)
        # The script's own pauses are not waited for; its last one is, until a ring.
        alarm.sleep(LIMIT_S if self._is_over else 0.0)

    def close(self) -> None:
        self.closed += 1


class Run:
    """A clock that runs a script."""

    def __init__(self, planner: Script) -> None:
        self.planner = planner
        self.sent: list[str] = []
        self.clock = ScheduleClock(lambda: planner, self.sent.append)
        self.thread = LastingThread("clock", "clock", self.clock.run, 0.005)
        self.thread.start()

    def until_looked(self, times: int) -> None:
        wait_until(lambda: len(self.planner.looks) >= times, f"it has looked {times} times")

    def stop(self) -> None:
        self.thread.wants_stop.set()
        self.clock.wake()
        self.thread.join(LIMIT_S / 2)
        assert not self.thread.is_alive
        self.clock.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    """Run scripts until the test is over."""
    running: list[Run] = []

    def start(*script: Planned | Exception | None, serves_own_engine: bool = False) -> Run:
        running.append(Run(Script(script, serves_own_engine=serves_own_engine)))
        return running[-1]

    yield start
    for each in running:
        each.stop()


Start = Callable[..., Run]


def test_the_engines_of_due_ticks_are_asked_to_run_them(run: Start) -> None:
    started = run(Planned(3, None, ("ws://a", "")), NOTHING)
    started.until_looked(2)

    assert started.sent == ["ws://a", ""]


def test_nobody_is_asked_when_nothing_is_due(run: Start) -> None:
    started = run(Planned(0, None, ("ws://a",)), NOTHING)
    started.until_looked(2)

    assert started.sent == []


def test_an_engine_is_asked_for_ticks_that_another_clock_has_planned(run: Start) -> None:
    """Two engines without a broker on one database: either clock may be the first."""
    due_at = now_ms() + LEAD_MS
    started = run(Planned(0, due_at, ()), NOTHING, serves_own_engine=True)
    started.until_looked(2)

    wait_until(lambda: started.sent == [""], "it asks its own engine")


def test_it_sleeps_until_shortly_before_the_next_one_is_due(run: Start) -> None:
    started = run(Planned(1, now_ms() + LEAD_MS + 3_000, ()), NOTHING)
    started.until_looked(2)

    assert 2.0 < started.planner.pauses[0] <= 3.0


@pytest.mark.parametrize("next_due_in_ms", [None, 3_600_000])
def test_it_looks_every_few_seconds_anyway(run: Start, next_due_in_ms: int | None) -> None:
    due_at = None if next_due_in_ms is None else now_ms() + next_due_in_ms
    started = run(Planned(1, due_at, ()), NOTHING)
    started.until_looked(2)

    assert started.planner.pauses[0] == NEWS_PAUSE_S


def test_it_goes_on_at_once_while_there_is_more(run: Start) -> None:
    started = run(*[Planned(500, now_ms(), ("",))] * 20, NOTHING)
    started.until_looked(21)

    assert started.planner.looks[20] - started.planner.looks[0] < LEAST_PAUSE_S * 20
    wait_until(lambda: len(started.planner.pauses) == 1, "it sleeps after the last one")


def test_what_somebody_else_plans_at_the_moment_is_not_asked_for_in_a_hurry(run: Start) -> None:
    started = run(Planned(0, now_ms(), ()), NOTHING)
    started.until_looked(2)

    assert started.planner.pauses[0] == LEAST_PAUSE_S


def test_a_change_lets_it_look_at_once(run: Start) -> None:
    started = run(NOTHING)
    started.until_looked(1)

    started.clock.wake()

    started.until_looked(2)


def test_many_changes_let_it_look_a_few_times(run: Start) -> None:
    started = run(NOTHING)
    started.until_looked(1)
    is_over = threading.Event()

    def change() -> None:
        while not is_over.wait(0.001):
            started.clock.wake()

    changing = threading.Thread(target=change)
    changing.start()
    started.until_looked(4)
    is_over.set()
    changing.join()

    looks = started.planner.looks
    assert looks[3] - looks[0] >= 3 * LEAST_PAUSE_S * 0.9


def test_it_asks_seldom_where_nobody_runs_schedules(run: Start) -> None:
    started = run(None, NOTHING)
    started.until_looked(2)

    assert started.planner.pauses[0] == Script.idle_pause_s
    assert started.sent == []


def test_it_goes_on_after_an_outage_with_a_new_connection(
    run: Start, caplog: pytest.LogCaptureFixture
) -> None:
    away = PlanningFailed("the database is away")
    started = run(away, away, away, Planned(1, None, ("",)), NOTHING)

    wait_until(lambda: started.sent == [""], "it plans again")

    assert started.planner.closed == 3
    assert caplog.text.count("the clock broke (the database is away)") == 1
