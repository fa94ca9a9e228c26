"""Jobs in which what one client sends reaches many: published messages, changes of streams."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, repeat
from time import perf_counter
from typing import Final

import msgspec

from tests.bench.connection import Loop
from tests.bench.figures import percentile
from tests.bench.followers import STREAM, Follower, Tally, TimingFollower
from tests.bench.frames import Template, call_template
from tests.bench.jobs import (
    CallResult,
    DeliverJob,
    PublishJob,
    StreamJob,
    WeightJob,
    WeightResult,
)
from tests.bench.measuring import (
    LOST_AFTER_S,
    READY_LIMIT_S,
    TURN_S,
    JobFailed,
    await_all,
    await_open,
)
from tests.bench.one_call import ask
from tests.bench.procfs import cpu_seconds, memory, tree_cpu_seconds
from tests.bench.traffic import Caller, Worker, subscription

# What every payload of a change holds once.
_MARK: Final = b'"text":"x'
# The beginning of what `stream::set` answers, and all that `stream::send` does.
_CHANGED: Final = (b'{"old_value":', b"null")

# Different items of a group that are changed in turn.
_ITEMS = 100
# Clients that shake hands at once, well below the backlog of a listening socket.
_CONNECTING = 64
_IDLE_BUFFER_BYTES = 512


class FanCaller(Caller):
    """A worker whose calls are over when they are answered and have reached everybody.

    Args:
        reach: how many get what one call sends.
        delivered: how many deliveries there were, whatever call they belong to.
        on_call: told the time of each call that is made, in seconds of `perf_counter`.

    Attributes:
        delivered: as above.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        templates: Iterable[Template],
        expected: bytes | tuple[bytes, ...] | None,
        depth: int,
        reach: int,
        delivered: Callable[[], int],
        on_call: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__(loop, port, templates, expected, depth)
        self.delivered = delivered
        self._reach = reach
        self._on_call = on_call

    @property
    def missing(self) -> int:
        """How many deliveries have not come."""
        return self.ledger.issued * self._reach - self.delivered()

    def refill(self) -> None:
        """Make as many calls as are over; to be called after every turn of the loop."""
        over = min(self.ledger.answered, self.delivered() // self._reach)
        self._call(self._depth - (self.ledger.issued - over))

    def _settle(self, call_ids: list[bytes]) -> None:
        """Account for answers; what takes their place is decided by `refill`."""
        self.ledger.settle(call_ids)

    def _call(self, count: int) -> None:
        issued = self.ledger.issued
        super()._call(max(0, count))
        if self._on_call is not None:
            now = perf_counter()
            for _ in range(self.ledger.issued - issued):
                self._on_call(now)


def run_publish(job: PublishJob) -> CallResult:
    """Measure the deliveries of published messages; every subscriber is a worker of its own."""
    loop = Loop()
    payload, topic = job.payload.build(), f"bench-{os.getpid()}"
    functions = [f"bench::subscriber{number}" for number in range(job.subscribers)]
    workers = [
        Worker(
            loop,
            job.port,
            [function_id],
            b"null",
            triggers=[subscription(topic, function_id)],
            expected=payload,
        )
        for function_id in functions
    ]
    publish = call_template("publish", b'{"topic":"%b","data":%b}' % (topic.encode(), payload))
    caller = FanCaller(
        loop,
        job.port,
        repeat(publish),
        None,
        job.depth,
        job.subscribers,
        lambda: sum(worker.served for worker in workers),
    )
    await_open(loop, [*workers, caller])
    _await_subscriptions(loop, job, topic)
    result = measure_deliveries(loop, caller, job, caller.ledger.latencies_s)
    loop.close()
    wrong = result.wrong + sum(worker.spoiled for worker in workers)
    return msgspec.structs.replace(result, wrong=wrong)


def run_streams(job: StreamJob) -> CallResult:
    """Measure the deliveries of changes of streams to the clients that follow them.

    With one group the latencies are those from the making of a change until a follower has seen
    it, otherwise those of the answers.
    """
    loop = Loop()
    payload, tally = job.payload.build(), Tally()
    groups = [f"group{number:04}" for number in range(job.groups)]
    watch = TimingFollower(loop, job.stream_port, groups, _MARK, tally) if job.groups == 1 else None
    followers: list[Follower] = [] if watch is None else [watch]
    for number in range(len(followers), job.subscribers):
        first = number * job.groups_each
        followed = [groups[(first + i) % job.groups] for i in range(job.groups_each)]
        followers.append(Follower(loop, job.stream_port, followed, _MARK, tally))
        _limit_connecting(loop, followers)
    caller = FanCaller(
        loop,
        job.port,
        cycle(_changes(groups, payload, is_mixed=job.is_mixed)),
        _CHANGED,
        job.depth,
        job.subscribers * job.groups_each // job.groups,
        lambda: tally.seen,
        None if watch is None else watch.made_at.append,
    )
    await_open(loop, [*followers, caller])
    await_all(loop, lambda: all(each.is_following for each in followers), "follow")
    latencies_s = caller.ledger.latencies_s if watch is None else watch.latencies_s
    result = measure_deliveries(loop, caller, job, latencies_s)
    loop.close()
    wrong = result.wrong + tally.lagged
    if watch is not None:  # everybody has to have seen everything, not only all together
        made = caller.ledger.issued
        wrong += watch.disordered + sum(each.seen != made for each in followers)
    sample = result.sample or (f"{tally.lagged} times a follower lagged" if tally.lagged else "")
    return msgspec.structs.replace(result, wrong=wrong, sample=sample)


def run_weight(job: WeightJob) -> WeightResult:
    """Measure what clients weigh that follow a group each, of which nothing happens."""
    loop, tally = Loop(), Tally()
    first = Follower(loop, job.stream_port, ["idle"], _MARK, tally)
    await_all(loop, lambda: first.is_following, "follow")

    before = memory(job.pid).rss_kib
    started = perf_counter()
    followers: list[Follower] = []
    for number in range(job.subscribers):
        group = f"idle{number:05}"
        followers.append(
            Follower(loop, job.stream_port, [group], _MARK, tally, buffer_bytes=_IDLE_BUFFER_BYTES)
        )
        _limit_connecting(loop, followers)
    await_all(loop, lambda: all(each.is_following for each in followers), "follow")
    arrival_s = perf_counter() - started
    after = memory(job.pid).rss_kib
    loop.close()
    return WeightResult(job.subscribers, arrival_s, before, after)


def _changes(groups: Sequence[str], payload: bytes, *, is_mixed: bool) -> list[Template]:
    """Return changes of all groups in turn; of a mixture every other one is an event."""
    changes: list[Template] = []
    rounds = 1 if len(groups) >= _ITEMS else _ITEMS
    for number in range(len(groups) * rounds):
        group, item = groups[number % len(groups)], number // len(groups)
        place = f'{{"stream_name":"{STREAM}","group_id":"{group}"'.encode()
        if is_mixed and number % 2:
            data = b'%b,"type":"bench","data":%b}' % (place, payload)
            changes.append(call_template("stream::send", data))
        else:
            data = b'%b,"item_id":"item%02d","data":%b}' % (place, item, payload)
            changes.append(call_template("stream::set", data))
    return changes


def _limit_connecting(loop: Loop, followers: Sequence[Follower]) -> None:
    """Serve the loop while too many shake hands."""
    while not followers[max(0, len(followers) - _CONNECTING)].connection.is_open:
        loop.turn(TURN_S)


def _await_subscriptions(loop: Loop, job: PublishJob, topic: str) -> None:
    """Ask the engine until it knows every subscription: they travel on other connections."""
    deadline = perf_counter() + READY_LIMIT_S
    bound = 0
    while bound < job.subscribers:
        if perf_counter() > deadline:
            raise JobFailed(f"{bound} of {job.subscribers} subscriptions are bound")
        triggers = ask(loop, job.port, "engine::registered-triggers::list", b"{}")
        bound = sum(
            trigger["config"] == {"topic": topic} for trigger in triggers["registered_triggers"]
        )


def measure_deliveries(
    loop: Loop,
    caller: FanCaller,
    job: PublishJob | StreamJob | DeliverJob,
    latencies_s: list[float],
) -> CallResult:
    """Count deliveries after the warm-up; then wait until every one has come."""
    caller.start()
    _serve_until(loop, caller, perf_counter() + job.warmup_s)
    latencies_s.clear()
    delivered = caller.delivered()
    helper = job.helper if isinstance(job, DeliverJob) else 0
    helper_cpu_s = tree_cpu_seconds(helper)
    cpu_s, load_cpu_s = cpu_seconds(job.pid), time.process_time()
    started = perf_counter()
    _serve_until(loop, caller, started + job.seconds)
    seconds = perf_counter() - started
    load_cpu_s = time.process_time() - load_cpu_s
    cpu_s = cpu_seconds(job.pid) - cpu_s
    helper_cpu_s = tree_cpu_seconds(helper) - helper_cpu_s
    delivered = caller.delivered() - delivered
    measured = sorted(latencies_s)
    caller.stop()
    _await_deliveries(loop, caller)
    p50, p95, p99 = (percentile(measured, percent) * 1e6 for percent in (50, 95, 99))
    return CallResult(
        calls=delivered,
        seconds=seconds,
        p50_us=p50,
        p95_us=p95,
        p99_us=p99,
        cpu_s=cpu_s,
        load_cpu_s=load_cpu_s,
        lost=max(0, caller.missing) + caller.ledger.pending,
        duplicated=max(0, -caller.missing) + caller.ledger.duplicated,
        wrong=caller.failed,
        sample=caller.first_failure.decode(errors="replace"),
        helper_cpu_s=helper_cpu_s,
    )


def _serve_until(loop: Loop, caller: FanCaller, deadline: float) -> None:
    while perf_counter() < deadline:
        loop.turn(TURN_S)
        caller.refill()


def _await_deliveries(loop: Loop, caller: FanCaller) -> None:
    """Serve the loop until nothing is missing, or nothing has come for a long time."""
    progress = (-1, -1)
    last = perf_counter()
    while (caller.missing > 0 or caller.ledger.pending) and perf_counter() < last + LOST_AFTER_S:
        loop.turn(TURN_S)
        now = (caller.missing, caller.ledger.pending)
        if now != progress:
            progress, last = now, perf_counter()
