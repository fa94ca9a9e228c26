from __future__ import annotations

import threading

import pytest

from engine.background.lasting_thread import LastingThread
from engine.core.errors import EngineError
from tests.waiting import wait_until

LIMIT_S = 10.0


class Part:
    """Something that breaks until it is told not to.

    Attributes:
        problem: what it raises; None: it works.
        runs: how often it was begun.
    """

    def __init__(self, problem: Exception | None) -> None:
        self.problem = problem
        self.runs = 0
        self.has_worked = threading.Event()
        self.thread = LastingThread("part", "part of a test", self.run, 0.005)
        self.thread.start()

    def run(self, thread: LastingThread) -> None:
        self.runs += 1
        if self.problem is not None:
            raise self.problem
        thread.works()
        self.has_worked.set()
        thread.wants_stop.wait(LIMIT_S)

    def stop(self) -> None:
        self.thread.wants_stop.set()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive


def test_what_breaks_is_run_again_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    part = Part(RuntimeError("asked for"))
    wait_until(lambda: part.runs >= 3, "it is run again and again")
    assert part.thread.failure == "RuntimeError: asked for"

    part.problem = None

    assert part.has_worked.wait(LIMIT_S)
    assert part.thread.failure == ""
    part.stop()
    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"]
    assert caplog.records[0].exc_info is not None
    assert caplog.messages == [
        "the part of a test broke (RuntimeError: asked for): its work stands still, "
        "trying again every 0.005 s",
        "the part of a test runs again",
    ]


def test_an_outage_is_told_without_a_stack(caplog: pytest.LogCaptureFixture) -> None:
    part = Part(EngineError("the database is away"))
    wait_until(lambda: part.thread.failure, "it is known")
    part.stop()

    assert part.thread.failure == "the database is away"
    assert not caplog.records[0].exc_info


def test_what_fails_while_it_is_to_stop_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    has_begun = threading.Event()

    def run(thread: LastingThread) -> None:
        has_begun.set()
        thread.wants_stop.wait(LIMIT_S)
        raise RuntimeError("asked for")

    thread = LastingThread("part", "part of a test", run, 0.005)
    thread.start()
    assert has_begun.wait(LIMIT_S)
    thread.wants_stop.set()
    thread.join(LIMIT_S)

    assert not thread.is_alive
    assert caplog.records == []
