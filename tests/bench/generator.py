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
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final

from tests.bench.connection import ConnectionBroken, Loop
from tests.bench.fan_out import run_publish, run_streams, run_weight
from tests.bench.frames import FrameError, Template, call_template
from tests.bench.jobs import (
    STORE_SCOPE,
    BacklogJob,
    CallJob,
    CallResult,
    ChannelJob,
    DeliverJob,
    EnqueueJob,
    FleetJob,
    FleetResult,
    MeasuringJob,
    MixedJob,
    MixedResult,
    PickUpJob,
    PublishJob,
    QuietJob,
    Result,
    ReturnJob,
    ServeJob,
    StoreJob,
    StreamJob,
    TicksJob,
    TransferJob,
    WeightJob,
    decode_job,
    encode,
    route_path,
    store_key,
)
from tests.bench.measuring import (
    TURN_S,
    JobFailed,
    Window,
    await_answers,
    await_open,
    await_success,
    measure,
    serve_paced,
)
from tests.bench.one_call import ask
from tests.bench.procfs import cpu_seconds, memory, raise_open_files_limit
from tests.bench.queues import run_backlog, run_deliver, run_enqueue, run_pick_up
from tests.bench.quiet import run_quiet
from tests.bench.schedules import run_return, run_ticks
from tests.bench.traffic import Caller, PacedCaller, Worker, http_trigger
from tests.bench.transfers import run_channel, run_transfer

ECHO = "bench::echo"
HTTP_ANSWER = b'{"status_code":200,"body":{"message":"hello from the bench"}}'

# Workers of a fleet that shake hands at once, well below the backlog of a listening socket.
_CONNECTING = 64


def run_calls(job: CallJob) -> CallResult:
    """Measure calls of one function of one worker."""
    loop = Loop()
    payload = job.payload.build()
    worker = Worker(loop, job.port, [ECHO], payload, expected=payload, type_last=job.type_last)
    template = call_template(ECHO, payload, type_last=job.type_last)
    caller = Caller(loop, job.port, itertools.repeat(template), payload, job.depth)
    await_open(loop, [worker, caller])
    await_success(loop, caller)
    result = measure(loop, caller, [worker], job)
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
    await_open(loop, [caller])

    before = memory(job.pid).rss_kib
    cpu = cpu_seconds(job.pid)
    started = perf_counter()
    workers: list[Worker] = []
    for functions in names:
        workers.append(
            Worker(loop, job.port, functions, payload, expected=payload, buffer_bytes=4096)
        )
        while not workers[max(0, len(workers) - _CONNECTING)].connection.is_open:
            loop.turn(TURN_S)
    await_open(loop, [*workers, caller])
    await_success(loop, caller)
    register_s = perf_counter() - started
    register_cpu_s = cpu_seconds(job.pid) - cpu
    after = memory(job.pid).rss_kib

    caller.call_in_turn(across)
    calls = measure(loop, caller, workers, job)
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
    await_open(loop, [caller])
    counted = _counter(loop, job.port)
    result = measure(loop, caller, [], job)
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
    await_open(loop, [worker, caller, setter])
    await_success(loop, caller)

    caller.start()
    setter.start()
    serve_paced(loop, setter, perf_counter() + job.warmup_s)
    of_sets, of_calls = Window(setter, job.pid), Window(caller, job.pid)
    serve_paced(loop, setter, of_calls.started + job.seconds)
    for window in (of_sets, of_calls):
        window.end()
    for each in (setter, caller):
        each.stop()
        await_answers(loop, each)
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
    await_open(loop, [caller])
    caller.start(calls=len(sets))
    await_answers(loop, caller)
    if caller.failed or caller.ledger.pending:
        raise JobFailed(f"keys could not be set: {caller.first_failure.decode(errors='replace')}")


def _counter(loop: Loop, port: int) -> int:
    """Return the counter that updates increment."""
    answer = ask(loop, port, "state::update", _INCREMENT.replace(b'"by":1', b'"by":0'))
    return int(answer["new_value"]["n"])


def run_server(job: ServeJob) -> None:
    """Serve HTTP routes, one function each, until the standard input ends."""
    loop = Loop()
    functions = [f"bench::route{number}" for number in range(job.routes)]
    triggers = [
        http_trigger("GET", route_path(number), function)
        for number, function in enumerate(functions)
    ]
    worker = Worker(loop, job.port, functions, HTTP_ANSWER, triggers=triggers)
    while not worker.connection.is_open:
        loop.turn(TURN_S)
    loop.turn(0)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    commands = select.poll()
    commands.register(sys.stdin, select.POLLIN)
    while not commands.poll(0):
        loop.turn(TURN_S)
    loop.close()


def _run(job: MeasuringJob) -> Result:
    return _RUNS[type(job)](job)


_RUNS: Final[dict[type[MeasuringJob], Callable[[Any], Result]]] = {
    CallJob: run_calls,
    FleetJob: run_fleet,
    StoreJob: run_store,
    MixedJob: run_mixed,
    PublishJob: run_publish,
    StreamJob: run_streams,
    WeightJob: run_weight,
    ChannelJob: run_channel,
    TransferJob: run_transfer,
    EnqueueJob: run_enqueue,
    DeliverJob: run_deliver,
    PickUpJob: run_pick_up,
    BacklogJob: run_backlog,
    QuietJob: run_quiet,
    TicksJob: run_ticks,
    ReturnJob: run_return,
}


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
