"""Jobs on durable queues: messages are put in by one connection and worked off by another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

import msgspec
import orjson

from tests.bench.connection import Loop
from tests.bench.fan_out import FanCaller, measure_deliveries
from tests.bench.figures import percentile
from tests.bench.frames import message_frame
from tests.bench.jobs import (
    BacklogJob,
    BacklogResult,
    CallResult,
    DeliverJob,
    EnqueueJob,
    PickUpJob,
)
from tests.bench.measuring import (
    LOST_AFTER_S,
    TURN_S,
    JobFailed,
    await_open,
    measure,
    serve_until,
)
from tests.bench.numbered import Book, NumberedPayload, NumberedWorker, enqueue_templates
from tests.bench.one_call import ask, await_so
from tests.bench.procfs import cpu_seconds, memory, tree_cpu_seconds
from tests.bench.traffic import Caller, Message, queue_trigger

# How often the memory of the measured process is looked at.
_LOOK_S: Final = 0.1


class _Queue:
    """A topic of this job's own, with one subscriber that answers at once."""

    def __init__(
        self, loop: Loop, port: int, payload_bytes: int, groups: int = 0, concurrency: int = 0
    ) -> None:
        options: Message = {"type": "fifo"} if groups else {}
        if concurrency:
            options["concurrency"] = concurrency
        self.topic = f"bench-{os.getpid()}"
        function_id = f"bench::subscriber{os.getpid()}"
        self._loop = loop
        self._port = port
        self._trigger = queue_trigger(self.topic, function_id, options)
        payload = NumberedPayload(payload_bytes)
        self.book = Book(groups)
        self.worker = NumberedWorker(loop, port, function_id, self._trigger, payload, self.book)
        self.enqueues = enqueue_templates(self.topic, payload, groups)

    def caller(self, depth: int) -> FanCaller:
        """Return a worker that puts messages in; its calls are over when they have come."""
        return FanCaller(
            self._loop,
            self._port,
            self.enqueues,
            None,
            depth,
            1,
            lambda: self.book.arrived,
            self.book.make,
        )

    def pause(self) -> None:
        self._switch("engine::queue::pause", is_paused=True)

    def resume(self) -> None:
        self._switch("engine::queue::resume", is_paused=False)

    def _switch(self, function_id: str, *, is_paused: bool) -> None:
        data = orjson.dumps({"queue": self.topic, "kind": "topic"})
        answer = ask(self._loop, self._port, function_id, data)
        if answer != {"queue": self.topic, "paused": is_paused}:
            raise JobFailed(f"{function_id} answered {answer}")

    def drop(self) -> None:
        """Take the subscription away, with what still waits for it; return when it is gone."""
        frame = message_frame({"type": "unregistertrigger", "id": self._trigger["id"]})
        self.worker.connection.send([frame])
        await_subscribers(self._loop, self._port, self.topic, 0)

    def add_faults(self, result: CallResult) -> CallResult:
        """Count what came twice, out of order or not as it was put in."""
        book = self.book
        wrong = book.disordered + book.unknown + self.worker.spoiled
        sample = f"{book.disordered} out of order, {self.worker.spoiled} spoiled" if wrong else ""
        return msgspec.structs.replace(
            result,
            duplicated=result.duplicated + book.repeated,
            wrong=result.wrong + wrong,
            sample=result.sample or sample,
        )


@contextmanager
def _queue(
    port: int, payload_bytes: int, groups: int = 0, concurrency: int = 0
) -> Iterator[tuple[Loop, _Queue]]:
    """Make a queue that the engine knows, and take it away again."""
    loop = Loop()
    queue = _Queue(loop, port, payload_bytes, groups, concurrency)
    await_open(loop, [queue.worker])
    await_subscribers(loop, port, queue.topic, 1)
    yield loop, queue
    queue.drop()
    loop.close()


def run_enqueue(job: EnqueueJob) -> CallResult:
    """Measure how fast messages are put in; each answer is one of a committed message."""
    with _queue(job.port, job.payload_bytes) as (loop, queue):
        queue.pause()
        caller = Caller(loop, job.port, queue.enqueues, None, job.depth)
        await_open(loop, [caller])
        result = measure(loop, caller, [], job)
        stats = _stats(loop, job.port, queue.topic)
        stored = caller.ledger.answered - caller.failed
        if stats["depth"] != stored:
            raise JobFailed(f"{stored} messages were answered for, {stats['depth']} wait")
        # A pause would outlive the queue.
        queue.resume()
        return result


def run_deliver(job: DeliverJob) -> CallResult:
    """Measure messages from the call that puts them in until the worker has them."""
    with _queue(job.port, job.payload_bytes, job.groups, job.concurrency) as (loop, queue):
        caller = queue.caller(job.depth)
        await_open(loop, [caller])
        result = measure_deliveries(loop, caller, job, queue.book.latencies_s)
        _await_finished(loop, job.port, queue.topic)
        return queue.add_faults(result)


def run_pick_up(job: PickUpJob) -> CallResult:
    """Measure how long single messages take while the engine has nothing else to do."""
    with _queue(job.port, job.payload_bytes) as (loop, queue):
        caller = queue.caller(depth=1)
        await_open(loop, [caller])
        cpu_s, load_cpu_s, started = cpu_seconds(job.pid), time.process_time(), perf_counter()
        for _ in range(job.messages):
            serve_until(loop, perf_counter() + job.pause_s)
            caller.start(calls=1)
            _await_arrival(loop, caller)
        seconds = perf_counter() - started
        measured = sorted(queue.book.latencies_s)
        p50, p95, p99 = (percentile(measured, percent) * 1e6 for percent in (50, 95, 99))
        result = CallResult(
            calls=queue.book.arrived,
            seconds=seconds,
            p50_us=p50,
            p95_us=p95,
            p99_us=p99,
            cpu_s=cpu_seconds(job.pid) - cpu_s,
            load_cpu_s=time.process_time() - load_cpu_s,
            lost=caller.missing + caller.ledger.pending,
            duplicated=caller.ledger.duplicated,
            wrong=caller.failed,
            sample=caller.first_failure.decode(errors="replace"),
        )
        return queue.add_faults(result)


def run_backlog(job: BacklogJob) -> BacklogResult:
    """Measure how a backlog is worked off, from the moment its queue is resumed."""
    with _queue(job.port, job.payload_bytes) as (loop, queue):
        queue.pause()
        book, caller = queue.book, Caller(loop, job.port, queue.enqueues, None, job.depth)
        await_open(loop, [caller])
        before = memory(job.pid).rss_kib
        started = perf_counter()
        caller.start(calls=job.messages)
        most = _serve_all(loop, job.pid, lambda: job.messages - caller.ledger.answered)
        enqueue_s = perf_counter() - started

        cpu_s, load_cpu_s = cpu_seconds(job.pid), time.process_time()
        helper_cpu_s = tree_cpu_seconds(job.helper)
        started = perf_counter()
        for _ in range(job.messages):  # what is measured begins now
            book.make(started)
        queue.resume()
        drained = _serve_all(loop, job.pid, lambda: job.messages - book.arrived)
        seconds = perf_counter() - started
        measured = sorted(book.latencies_s)
        p50, p95, p99 = (percentile(measured, percent) * 1e6 for percent in (50, 95, 99))
        result = CallResult(
            calls=book.arrived,
            seconds=seconds,
            p50_us=p50,
            p95_us=p95,
            p99_us=p99,
            cpu_s=cpu_seconds(job.pid) - cpu_s,
            load_cpu_s=time.process_time() - load_cpu_s,
            lost=job.messages - book.arrived + caller.ledger.pending,
            duplicated=caller.ledger.duplicated,
            wrong=caller.failed,
            sample=caller.first_failure.decode(errors="replace"),
            helper_cpu_s=tree_cpu_seconds(job.helper) - helper_cpu_s,
        )
        _await_finished(loop, job.port, queue.topic)
        return BacklogResult(enqueue_s, queue.add_faults(result), before, max(most, drained))


def _serve_all(loop: Loop, pid: int, missing: Callable[[], int]) -> int:
    """Serve the loop until nothing is missing, or nothing has come for a long time.

    Returns:
        The most memory of the process meanwhile, in KiB.
    """
    most, looked, last, progress = 0, 0.0, perf_counter(), -1
    while (left := missing()) > 0 and perf_counter() < last + LOST_AFTER_S:
        loop.turn(TURN_S)
        now = perf_counter()
        if left != progress:
            progress, last = left, now
        if now > looked + _LOOK_S:
            looked, most = now, max(most, memory(pid).rss_kib)
    return most


def _await_arrival(loop: Loop, caller: FanCaller) -> None:
    deadline = perf_counter() + LOST_AFTER_S
    while (caller.missing > 0 or caller.ledger.pending) and perf_counter() < deadline:
        loop.turn(TURN_S)


def await_subscribers(loop: Loop, port: int, topic: str, count: int) -> None:
    """Ask the engine until a topic has so many subscriptions: they are made behind the triggers."""

    def has_subscribers() -> bool:
        topics = ask(loop, port, "engine::queue::list_topics", b"{}")
        counts = [int(each["subscriber_count"]) for each in topics if each["name"] == topic]
        return sum(counts) == count

    await_so(loop, has_subscribers, f"{topic} has {count} subscribers")


def _await_finished(loop: Loop, port: int, topic: str) -> None:
    """Wait until the outcomes of all messages are stored as well."""
    await_so(loop, lambda: _stats(loop, port, topic)["depth"] == 0, f"nothing is left of {topic}")


def _stats(loop: Loop, port: int, topic: str) -> dict[str, Any]:
    data = orjson.dumps({"topic": topic, "kind": "topic"})
    stats: dict[str, Any] = ask(loop, port, "engine::queue::topic_stats", data)
    return stats
