"""Jobs on schedules: what is due every second, and what a worker owns that goes and comes back."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Final

import orjson

from tests.bench.clocked import ClockedWorker, TickBook
from tests.bench.connection import Loop
from tests.bench.figures import percentile
from tests.bench.frames import message_frame
from tests.bench.jobs import CallResult, ReturnJob, ReturnResult, TicksJob
from tests.bench.measuring import LOST_AFTER_S, TURN_S, await_open, serve_until
from tests.bench.one_call import ask, await_so
from tests.bench.procfs import cpu_seconds, memory, tree_cpu_seconds
from tests.bench.traffic import Message, Worker, cron_trigger

_SECOND_MS: Final = 1_000
# When what is measured of a second begins: before the engine does anything for it at all.
_BEFORE_S: Final = 0.9
_PAGE: Final = 500
_SAMPLES: Final = 3


def later() -> str:
    """Return an expression that is due once a day, and not for hours."""
    then = dt.datetime.now(dt.UTC) + dt.timedelta(hours=12)
    return f"0 0 {then.hour} * * *"


def run_ticks(job: TicksJob) -> CallResult:
    """Measure how late the functions of schedules are called that all are due every second.

    A call is lost if it did not come; it is wrong if it came too early, or if there is no row of
    its tick, or one that says anything else than that it is done.
    """
    loop = Loop()
    prefix = f"bench::clock{os.getpid()}-"
    names = [f"{prefix}{number:06}" for number in range(job.schedules)]
    triggers = [cron_trigger("* * * * * * *", name, name) for name in names]
    book = TickBook(job.schedules)
    worker = ClockedWorker(loop, job.port, names, triggers, book)
    await_open(loop, [worker])
    await_so(loop, lambda: book.latest > 0, "every function was called for one second")

    first = int(time.time() + _BEFORE_S) + 1
    seconds = range(first, first + job.seconds)
    serve_until(loop, _steady(first - _BEFORE_S))
    cpu_s, load_cpu_s, started = cpu_seconds(job.pid), time.process_time(), perf_counter()
    helper_cpu_s = sum(map(tree_cpu_seconds, job.helpers))
    serve_until(loop, _steady(seconds.stop - _BEFORE_S))
    took_s = perf_counter() - started
    cpu_s = cpu_seconds(job.pid) - cpu_s
    load_cpu_s = time.process_time() - load_cpu_s
    helper_cpu_s = sum(map(tree_cpu_seconds, job.helpers)) - helper_cpu_s
    deadline = perf_counter() + LOST_AFTER_S
    while book.missing(seconds) and perf_counter() < deadline:
        loop.turn(TURN_S)

    worker.connection.send([_goodbye(trigger) for trigger in triggers])
    await_active(loop, job.port, prefix, 0)
    strange = _strange_rows(loop, job.port, names, seconds)
    loop.close()
    measured = book.lateness_s(seconds)
    p50, p95, p99 = (percentile(measured, percent) * 1e6 for percent in (50, 95, 99))
    wrong = book.early + book.unknown + len(strange)
    sample = f"{book.early} early, {book.unknown} of others, rows: {strange[:_SAMPLES]}"
    return CallResult(
        calls=len(measured),
        seconds=took_s,
        p50_us=p50,
        p95_us=p95,
        p99_us=p99,
        cpu_s=cpu_s,
        load_cpu_s=load_cpu_s,
        lost=book.missing(seconds),
        duplicated=book.repeated(),
        wrong=wrong,
        sample=sample if wrong else "",
        helper_cpu_s=helper_cpu_s,
    )


def run_return(job: ReturnJob) -> ReturnResult:
    """Measure how long it takes until the engine owns all schedules of workers (again)."""
    loop = Loop()
    prefix = f"bench::later{os.getpid()}-"
    fleet = {
        f"{prefix}{worker:04}": [
            # Of one function: what is weighed and timed are the schedules.
            cron_trigger(later(), f"{prefix}{worker:04}", f"{prefix}{worker:04}-{number:06}")
            for number in range(job.schedules)
        ]
        for worker in range(job.workers)
    }
    before = memory(job.pid).rss_kib
    took_s: list[float] = []
    workers, first_s = _arrive(loop, job.port, prefix, fleet)
    after = memory(job.pid).rss_kib
    for _ in range(job.rounds):
        for worker in workers:
            worker.connection.finish()
        await_active(loop, job.port, prefix, 0)
        workers, arrival_s = _arrive(loop, job.port, prefix, fleet)
        took_s.append(arrival_s)
    expected, known = job.schedules * job.workers, _count(loop, job.port, prefix, "")
    loop.close()
    return ReturnResult(
        expected,
        first_s,
        tuple(took_s),
        max(0, expected - known),
        max(0, known - expected),
        before,
        after,
    )


def await_active(loop: Loop, port: int, prefix: str, count: int) -> None:
    """Ask the engine until so many schedules have a live worker: they follow their triggers."""
    what = f"{count} schedules are active"
    await_so(loop, lambda: _count(loop, port, prefix, "active") == count, what)


def _goodbye(trigger: Message) -> bytes:
    return message_frame({"type": "unregistertrigger", "id": trigger["id"]})


def _arrive(
    loop: Loop, port: int, prefix: str, fleet: Mapping[str, Sequence[Message]]
) -> tuple[list[Worker], float]:
    """Connect workers; return them and how long it took until their schedules were active.

    Args:
        prefix: of all that they have.
        fleet: the triggers of the function of each.
    """
    started = perf_counter()
    workers: list[Worker] = []
    for function, triggers in fleet.items():
        workers.append(Worker(loop, port, [function], b"null", triggers=triggers))
        await_open(loop, workers[-1:])
        await_active(loop, port, prefix, len(workers) * len(triggers))
    return workers, perf_counter() - started


def _count(loop: Loop, port: int, prefix: str, state: str) -> int:
    """Return how many schedules are in a state; in any, if it is empty."""
    asked: dict[str, Any] = {"search": prefix, "limit": 1}
    if state:
        asked["state"] = state
    return int(ask(loop, port, "engine::cron::list", orjson.dumps(asked))["total"])


def _strange_rows(loop: Loop, port: int, names: Sequence[str], seconds: range) -> list[str]:
    """Return which ticks of these seconds are not there, or not done, once all have ended."""
    wanted = set(seconds)
    strange: list[str] = []
    for name in names:
        found = _rows(loop, port, name, seconds)
        strange += [f"{name} at {second}: no row" for second in wanted - found.keys()]
        strange += [
            f"{name} at {second}: {state}" for second, state in found.items() if state != "done"
        ]
    return strange


def _rows(loop: Loop, port: int, name: str, seconds: range) -> dict[int, str]:
    """Return the states of a schedule's ticks in these seconds; the newest ones are asked first."""
    found: dict[int, str] = {}
    asked: dict[str, Any] = {"schedule_id": name, "limit": _PAGE}
    while True:
        data = orjson.dumps(asked)
        page = ask(loop, port, "engine::cron::ticks", data)["ticks"]
        times = [_second(row["scheduled_time"]) for row in page]
        found |= {
            second: row["state"]
            for second, row in zip(times, page, strict=True)
            if second in seconds
        }
        if len(page) < _PAGE or times[-1] < seconds.start:
            return found
        asked["before_id"] = page[-1]["tick_id"]


def _second(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp())


def _steady(moment: float) -> float:
    """Return what the steady clock says at a moment of Unix time, if nobody sets the clock."""
    return perf_counter() + moment - time.time()
