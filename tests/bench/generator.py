"""The load generator, a process of its own: reads one job, drives the port, writes the result.

`python -m tests.bench.generator`: the job is the first line of the standard input, the result one
line on the standard output. A `ServeJob` answers with an empty line when its routes are registered
and ends with its standard input.
"""

from __future__ import annotations

import gc
import itertools
import select
import sys
import time
from collections.abc import Sequence
from time import perf_counter

from tests.bench.connection import ConnectionBroken, Loop
from tests.bench.figures import percentile
from tests.bench.frames import FrameError, Template, call_template
from tests.bench.jobs import (
    STORE_SCOPE,
    CallJob,
    CallResult,
    FleetJob,
    FleetResult,
    MeasuringJob,
    MixedJob,
    MixedResult,
    Result,
    ServeJob,
    StoreJob,
    decode_job,
    encode,
    route_path,
    store_key,
)
from tests.bench.procfs import cpu_seconds, memory, raise_open_files_limit
from tests.bench.traffic import Caller, PacedCaller, Worker

ECHO = "bench::echo"
HTTP_ANSWER = b'{"status_code":200,"body":{"message":"hello from the bench"}}'

_TURN_S = 0.05
# Calls that are due are made once a turn: at 10,000 per second some ten at once.
_PACED_TURN_S = 0.001
# An answer that has not come for so long after the last one is lost.
_LOST_AFTER_S = 10.0
_READY_LIMIT_S = 60.0
# Workers of a fleet that shake hands at once, well below the backlog of a listening socket.
_CONNECTING = 64


class JobFailed(Exception):
    """Raised when a job cannot be measured: nobody answers as the job needs."""


def run_calls(job: CallJob) -> CallResult:
    """Measure calls of one function of one worker."""
    loop = Loop()
    payload = job.payload.build()
    worker = Worker(loop, job.port, [ECHO], payload, expected=payload, type_last=job.type_last)
    template = call_template(ECHO, payload, type_last=job.type_last)
    caller = Caller(loop, job.port, itertools.repeat(template), payload, job.depth)
    _await_open(loop, [worker], caller)
    _await_success(loop, caller)
    result = _measure(loop, caller, [worker], job)
    loop.close()
    return result


def run_fleet(job: FleetJob) -> FleetResult:
    """Measure the arrival of many workers, then calls across all of their functions."""
    loop = Loop()
    payload = job.payload.build()
    names = [
        [f"fleet::worker{number}::function{i}" for i in range(job.functions_per_worker)]
        for number in range(job.workers)
    ]
    last = call_template(names[-1][-1], payload)
    across = [
        call_template(name, payload) for column in zip(*names, strict=True) for name in column
    ]
    caller = Caller(loop, job.port, itertools.repeat(last), payload, job.depth)
    _await_open(loop, [], caller)

    before = memory(job.pid).rss_kib
    cpu = cpu_seconds(job.pid)
    started = perf_counter()
    workers: list[Worker] = []
    for functions in names:
        workers.append(
            Worker(loop, job.port, functions, payload, expected=payload, buffer_bytes=4096)
        )
        while not workers[max(0, len(workers) - _CONNECTING)].connection.is_open:
            loop.turn(_TURN_S)
    _await_open(loop, workers, caller)
    _await_success(loop, caller)
    register_s = perf_counter() - started
    register_cpu_s = cpu_seconds(job.pid) - cpu
    after = memory(job.pid).rss_kib

    caller.call_in_turn(across)
    calls = _measure(loop, caller, workers, job)
    loop.close()
    return FleetResult(job.workers, register_s, register_cpu_s, before, after, calls)


def run_store(job: StoreJob) -> CallResult:
    """Measure calls of a function of the state; counters must be exact afterwards."""
    loop = Loop()
    payload = job.payload.build()
    numbers = range(0, job.keys * job.stride, job.stride)
    sets = _sets(numbers, payload)
    if not job.is_filled:
        _set_all(loop, job, sets)
    if job.operation == "set":
        templates, expected = sets, _CHANGED
    elif job.operation == "get":
        templates = [call_template("state::get", _place(number) + b"}") for number in numbers]
        expected = payload
    else:
        templates, expected = [call_template("state::update", _INCREMENT)], _CHANGED
    caller = Caller(loop, job.port, itertools.cycle(templates), expected, job.depth)
    _await_open(loop, [], caller)
    counted = _counter(loop, job.port)
    result = _measure(loop, caller, [], job)
    if job.operation == "update":
        counted = _counter(loop, job.port) - counted
        if counted != caller.ledger.answered:
            raise JobFailed(f"{caller.ledger.answered} increments were answered, {counted} counted")
    loop.close()
    return result


def run_mixed(job: MixedJob) -> MixedResult:
    """Measure calls of one function of one worker while the state is set at a pace.

    One process makes both loads: a third one would take the measured one's processor where there
    are two.
    """
    loop = Loop()
    payload = job.payload.build()
    worker = Worker(loop, job.port, [ECHO], payload, expected=payload)
    echo = itertools.repeat(call_template(ECHO, payload))
    caller = Caller(loop, job.port, echo, payload, job.depth)
    sets = itertools.cycle(_sets(range(job.keys), payload))
    setter = PacedCaller(loop, job.port, sets, _CHANGED, job.sets_per_s)
    _await_open(loop, [worker], caller, setter)
    _await_success(loop, caller)

    caller.start()
    setter.start()
    _serve_paced(loop, setter, perf_counter() + job.warmup_s)
    of_sets, of_calls = _Window(setter, job.pid), _Window(caller, job.pid)
    _serve_paced(loop, setter, of_calls.started + job.seconds)
    for window in (of_sets, of_calls):
        window.end()
    for each in (setter, caller):
        each.stop()
        _await_answers(loop, each)
    loop.close()
    return MixedResult(of_calls.result(spoiled=worker.spoiled), of_sets.result(spoiled=0))


# The beginning of what set and update answer.
_CHANGED = b'{"old_value":'
_COUNTER = b'{"scope":"%b","key":"counter"' % STORE_SCOPE.encode()
_INCREMENT = _COUNTER + b',"ops":[{"type":"increment","path":"n","by":1}]}'


def _place(number: int) -> bytes:
    """Begin the payload of a call of the state with the scope and the key of this number."""
    return f'{{"scope":"{STORE_SCOPE}","key":"{store_key(number)}"'.encode()


def _sets(numbers: Sequence[int], payload: bytes) -> list[Template]:
    """Return the calls that set the keys of these numbers."""
    return [
        call_template("state::set", b'%b,"value":%b}' % (_place(number), payload))
        for number in numbers
    ]


def _set_all(loop: Loop, job: StoreJob, sets: Sequence[Template]) -> None:
    """Make each of these calls once."""
    caller = Caller(loop, job.port, sets, _CHANGED, job.depth)
    _await_open(loop, [], caller)
    caller.start(calls=len(sets))
    _await_answers(loop, caller)
    if caller.failed or caller.ledger.pending:
        raise JobFailed(f"keys could not be set: {caller.first_failure.decode(errors='replace')}")


def _counter(loop: Loop, port: int) -> int:
    """Return the counter that updates increment."""
    increment = call_template("state::update", _INCREMENT.replace(b'"by":1', b'"by":0'))
    caller = Caller(loop, port, [increment], b"(none)", 1)
    _await_open(loop, [], caller)
    caller.start(calls=1)
    _await_answers(loop, caller)
    return int(caller.first_failure.rpartition(b'"n":')[2].partition(b"}")[0])


def run_server(job: ServeJob) -> None:
    """Serve HTTP routes, one function each, until the standard input ends."""
    loop = Loop()
    functions = [f"bench::route{number}" for number in range(job.routes)]
    routes = [(route_path(number), function) for number, function in enumerate(functions)]
    worker = Worker(loop, job.port, functions, HTTP_ANSWER, routes=routes)
    while not worker.connection.is_open:
        loop.turn(_TURN_S)
    loop.turn(0)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    commands = select.poll()
    commands.register(sys.stdin, select.POLLIN)
    while not commands.poll(0):
        loop.turn(_TURN_S)
    loop.close()


def _await_open(loop: Loop, workers: Sequence[Worker], *callers: Caller) -> None:
    """Serve the loop until every connection is open."""
    deadline = perf_counter() + _READY_LIMIT_S
    connections = [
        *(caller.connection for caller in callers),
        *(worker.connection for worker in workers),
    ]
    while not all(connection.is_open for connection in connections):
        loop.turn(_TURN_S)
        if perf_counter() > deadline:
            raise JobFailed(f"connections did not open within {_READY_LIMIT_S:.0f} s")


def _await_success(loop: Loop, caller: Caller) -> None:
    """Repeat one call until it succeeds: registrations travel on another connection."""
    deadline = perf_counter() + _READY_LIMIT_S
    answer = b"no answer"
    caller.start(calls=1)
    while caller.ledger.pending or caller.failed:
        if not caller.ledger.pending:
            answer = caller.first_failure
            caller.forget_failures()
            caller.start(calls=1)
        loop.turn(_TURN_S)
        if perf_counter() > deadline:
            reason = answer.decode(errors="replace")
            raise JobFailed(f"no call succeeded within {_READY_LIMIT_S:.0f} s: {reason}")


def _measure(
    loop: Loop, caller: Caller, workers: Sequence[Worker], job: CallJob | FleetJob | StoreJob
) -> CallResult:
    """Keep calls in flight and measure after the warm-up; wait until every call is answered."""
    calls = None if isinstance(job, FleetJob) else job.calls
    if calls is None:
        caller.start()
        _serve_until(loop, perf_counter() + job.warmup_s)
    window = _Window(caller, job.pid)
    if calls is None:
        _serve_until(loop, window.started + job.seconds)
        window.end()
        caller.stop()
        _await_answers(loop, caller)
    else:
        caller.start(calls)
        _await_answers(loop, caller)
        window.end()
    return window.result(spoiled=sum(worker.spoiled for worker in workers))


def _serve_until(loop: Loop, deadline: float) -> None:
    while perf_counter() < deadline:
        loop.turn(_TURN_S)


def _serve_paced(loop: Loop, caller: PacedCaller, deadline: float) -> None:
    while perf_counter() < deadline:
        caller.call_due()
        loop.turn(_PACED_TURN_S)


def _await_answers(loop: Loop, caller: Caller) -> None:
    """Serve the loop until no call waits, or no answer has come for a long time."""
    answered = caller.ledger.answered
    last_answer = perf_counter()
    while caller.ledger.pending and perf_counter() < last_answer + _LOST_AFTER_S:
        loop.turn(_TURN_S)
        if caller.ledger.answered != answered:
            answered = caller.ledger.answered
            last_answer = perf_counter()


class _Window:
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


def _run(job: MeasuringJob) -> Result:
    if isinstance(job, CallJob):
        return run_calls(job)
    if isinstance(job, FleetJob):
        return run_fleet(job)
    return run_mixed(job) if isinstance(job, MixedJob) else run_store(job)


def main() -> int:
    """Do the job of the first line of the standard input."""
    raise_open_files_limit()
    job = decode_job(sys.stdin.buffer.readline())
    # Nothing here makes reference cycles, and a collection would show in the latencies.
    gc.disable()
    try:
        if isinstance(job, ServeJob):
            run_server(job)
        else:
            sys.stdout.buffer.write(encode(_run(job)))
    except (JobFailed, ConnectionBroken, FrameError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
