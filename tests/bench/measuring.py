"""How the load generator waits and measures, whatever kind of load it makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol

from tests.bench.connection import Connection, Loop
from tests.bench.figures import percentile
from tests.bench.jobs import CallJob, CallResult, EnqueueJob, FleetJob, StoreJob
from tests.bench.procfs import cpu_seconds
from tests.bench.traffic import Caller, PacedCaller, Worker

TURN_S: Final = 0.05
# Calls that are due are made once a turn: at 10,000 per second some ten at once.
_PACED_TURN_S: Final = 0.001
# An answer that has not come for so long after the last one is lost.
LOST_AFTER_S: Final = 10.0
READY_LIMIT_S: Final = 60.0


class JobFailed(Exception):
    """Raised when a job cannot be measured: nobody answers as the job needs."""


class Client(Protocol):
    """Whatever has one connection."""

    @property
    def connection(self) -> Connection:
        """Its connection."""


def await_open(loop: Loop, clients: Sequence[Client]) -> None:
    """Serve the loop until every connection is open."""
    await_all(loop, lambda: all(client.connection.is_open for client in clients), "are open")


def await_all(loop: Loop, is_so: Callable[[], bool], what: str) -> None:
    """Serve the loop until something is so of all clients.

    Raises:
        JobFailed: it is not so in time; the message says what.
    """
    deadline = perf_counter() + READY_LIMIT_S
    while not is_so():
        loop.turn(TURN_S)
        if perf_counter() > deadline:
            raise JobFailed(f"not within {READY_LIMIT_S:.0f} s: all connections {what}")


def await_success(loop: Loop, caller: Caller) -> None:
    """Repeat one call until it succeeds: registrations travel on another connection."""
    deadline = perf_counter() + READY_LIMIT_S
    answer = b"no answer"
    caller.start(calls=1)
    while caller.ledger.pending or caller.failed:
        if not caller.ledger.pending:
            answer = caller.first_failure
            caller.forget_failures()
            caller.start(calls=1)
        loop.turn(TURN_S)
        if perf_counter() > deadline:
            reason = answer.decode(errors="replace")
            raise JobFailed(f"no call succeeded within {READY_LIMIT_S:.0f} s: {reason}")


def measure(
    loop: Loop,
    caller: Caller,
    workers: Sequence[Worker],
    job: CallJob | FleetJob | StoreJob | EnqueueJob,
) -> CallResult:
    """Keep calls in flight and measure after the warm-up; wait until every call is answered."""
    calls = None if isinstance(job, FleetJob | EnqueueJob) else job.calls
    if calls is None:
        caller.start()
        serve_until(loop, perf_counter() + job.warmup_s)
    window = Window(caller, job.pid)
    if calls is None:
        serve_until(loop, window.started + job.seconds)
        window.end()
        caller.stop()
        await_answers(loop, caller)
    else:
        caller.start(calls)
        await_answers(loop, caller)
        window.end()
    return window.result(spoiled=sum(worker.spoiled for worker in workers))


def serve_until(loop: Loop, deadline: float) -> None:
    while perf_counter() < deadline:
        loop.turn(TURN_S)


def serve_paced(loop: Loop, caller: PacedCaller, deadline: float) -> None:
    while perf_counter() < deadline:
        caller.call_due()
        loop.turn(_PACED_TURN_S)


def await_answers(loop: Loop, caller: Caller) -> None:
    """Serve the loop until no call waits, or no answer has come for a long time."""
    answered = caller.ledger.answered
    last_answer = perf_counter()
    while caller.ledger.pending and perf_counter() < last_answer + LOST_AFTER_S:
        loop.turn(TURN_S)
        if caller.ledger.answered != answered:
            answered = caller.ledger.answered
            last_answer = perf_counter()


class Window:
    """The time between the end of the warm-up and the end of the round."""

    def __init__(self, caller: Caller, pid: int) -> None:
        caller.ledger.latencies_s.clear()
        self._caller = caller
        self._pid = pid
        self._calls = -caller.ledger.answered
        self._cpu_s = -cpu_seconds(pid)
        self._load_cpu_s = -time.process_time()
        self._latencies_s: list[float] = []
        self._seconds = 0.0
        self.started = perf_counter()

    def end(self) -> None:
        """Stop to measure; what is answered later counts as answered only."""
        self._seconds = perf_counter() - self.started
        self._load_cpu_s += time.process_time()
        self._cpu_s += cpu_seconds(self._pid)
        self._calls += self._caller.ledger.answered
        self._latencies_s = sorted(self._caller.ledger.latencies_s)

    def result(self, spoiled: int) -> CallResult:
        """Summarise the window and the account of the whole job.

        Args:
            spoiled: calls that arrived at their worker with another payload.
        """
        p50, p95, p99 = (percentile(self._latencies_s, percent) * 1e6 for percent in (50, 95, 99))
        return CallResult(
            calls=self._calls,
            seconds=self._seconds,
            p50_us=p50,
            p95_us=p95,
            p99_us=p99,
            cpu_s=self._cpu_s,
            load_cpu_s=self._load_cpu_s,
            lost=self._caller.ledger.pending,
            duplicated=self._caller.ledger.duplicated,
            wrong=self._caller.failed + spoiled,
            sample=self._caller.first_failure.decode(errors="replace"),
        )
