"""One run of the benchmark: its options, its report, and rounds of measurements in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.bench.jobs import CallJob, CallResult
from tests.bench.payloads import Payload
from tests.bench.processes import Processes, Subject
from tests.bench.report import Report

SMALL: Final = Payload("text", 100)
BASE_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Bench:
    """What the scenarios of a run share.

    Attributes:
        seconds: length of one measurement, without its warm-up.
        rounds: how often each measurement is repeated, in turn with what it is compared with.
        is_quick: whether fixed numbers of calls and workers are made smaller.
        ticks_s: for how many seconds schedules are watched that are due every second.
    """

    processes: Processes
    seconds: float
    rounds: int
    is_quick: bool
    ticks_s: int = 60
    report: Report = field(default_factory=Report)

    @contextmanager
    def subjects(self) -> Iterator[tuple[Subject, Subject]]:
        """Run a fresh bare router and a fresh engine side by side; the idle one costs nothing."""
        with self.processes.bare_router() as router, self.processes.engine() as engine:
            yield router, engine

    def base(self, router: Subject) -> CallResult:
        """Measure R and F: calls/s and processor time of the bare router."""
        return self.call(router, BASE_DEPTH, SMALL)

    def call(
        self,
        subject: Subject,
        depth: int,
        payload: Payload,
        *,
        type_last: bool = False,
        calls: int | None = None,
    ) -> CallResult:
        """Measure calls of one function, for the length of a round or so many of them."""
        job = CallJob(
            port=subject.port,
            pid=subject.pid,
            depth=depth,
            payload=payload,
            seconds=self.seconds,
            type_last=type_last,
            calls=calls,
        )
        return self.processes.run(job, CallResult)

    def interleave(
        self, measurements: Mapping[str, Callable[[], CallResult]], rounds: int | None = None
    ) -> dict[str, list[CallResult]]:
        """Take every measurement once a round, so that a slow moment falls on all of them."""
        results: dict[str, list[CallResult]] = {name: [] for name in measurements}
        for number in range(1, (rounds or self.rounds) + 1):
            for name, measure in measurements.items():
                self.say(f"  round {number}: {name}")
                results[name].append(measure())
        return results

    def say(self, line: str) -> None:
        """Tell how far the run is, apart from its output."""
        print(line, file=sys.stderr, flush=True)


def rates(results: list[CallResult]) -> list[float]:
    """Return the calls/s of each round."""
    return [result.calls_per_s for result in results]


def cpu_times(results: list[CallResult]) -> list[float]:
    """Return the processor time per call of each round, in microseconds."""
    return [result.cpu_us_per_call for result in results]
