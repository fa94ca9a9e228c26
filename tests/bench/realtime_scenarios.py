"""The workloads in which one message reaches many, and those that are streams of bytes.

R is the bare router's rate with 64 calls of 100 bytes in flight, as everywhere. A delivery counts
when it has come; all of them have to come.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.bench.bench import BASE_DEPTH, SMALL, Bench, rates
from tests.bench.jobs import (
    CallResult,
    ChannelJob,
    Direction,
    PublishJob,
    StreamJob,
    TransferJob,
    TransferResult,
    WeightJob,
    WeightResult,
)
from tests.bench.processes import Subject
from tests.bench.transfers import CHUNK_BYTES

# Followers of one group, and the deliveries/s to reach in R; None where none is asked for.
_FOLLOWERS: Final[dict[int, float | None]] = {1: 0.4, 100: 2, 1_000: None}
_SEEN_MS: Final = 10
_MANY: Final = 1_000
# Groups that each of them follows: so many deliveries has each change.
_GROUPS_EACH: Final = 10
_MIXED_RATE: Final = 1.5
_IDLE: Final = 10_000
_IDLE_KIB: Final = 25
_SUBSCRIBERS: Final = 10
_PUBLISH_RATE: Final = 1.6
_CHANNEL_MIB_PER_S: Final = 200
_HTTP_MIB_PER_S: Final = 100
_GROWTH_MIB: Final = 64
_BODY_BYTES: Final = 1 << 30
_BODY_ROUNDS: Final = 3


def publish(bench: Bench) -> None:
    """Measure messages of one topic to ten subscribers."""
    with bench.subjects() as (router, engine):
        job = PublishJob(
            port=engine.port,
            pid=engine.pid,
            subscribers=_SUBSCRIBERS,
            depth=BASE_DEPTH,
            payload=SMALL,
            seconds=bench.seconds,
        )
        _deliver(bench, router, engine, job, f"publish, {_SUBSCRIBERS} subscribers", _PUBLISH_RATE)


def streams(bench: Bench) -> None:
    """Measure changes of one group that one, a hundred and a thousand clients follow."""
    with bench.subjects() as (router, engine):
        for followers, target in _FOLLOWERS.items():
            workload = f"stream::set, {followers:,} subscriber{'s' if followers > 1 else ''}"
            bench.say(f" {workload}")
            job = StreamJob(
                port=engine.port,
                stream_port=engine.stream_port,
                pid=engine.pid,
                subscribers=followers,
                groups=1,
                groups_each=1,
                depth=BASE_DEPTH,
                payload=SMALL,
                seconds=bench.seconds,
            )
            results = _deliver(bench, router, engine, job, workload, target)
            if followers == 1:
                seen = [result.p50_us / 1000 for result in results]
                bench.report.limit(workload, "p50 set to seen", seen, target=_SEEN_MS, unit="ms")


def streams_mixed(bench: Bench) -> None:
    """Measure changes and events of a thousand groups, ten of which each of a thousand follows."""
    with bench.subjects() as (router, engine):
        job = StreamJob(
            port=engine.port,
            stream_port=engine.stream_port,
            pid=engine.pid,
            subscribers=_MANY,
            groups=_MANY,
            groups_each=_GROUPS_EACH,
            depth=BASE_DEPTH,
            payload=SMALL,
            seconds=bench.seconds,
            is_mixed=True,
        )
        workload = f"stream::set and ::send, {_MANY:,} subscribers of {_GROUPS_EACH} groups each"
        _deliver(bench, router, engine, job, workload, _MIXED_RATE)


def streams_idle(bench: Bench) -> None:
    """Measure what clients weigh that wait for something to happen."""
    subscribers = _IDLE // (10 if bench.is_quick else 1)
    weights: list[float] = []
    for number in range(1, bench.rounds + 1):
        # A fresh process each time: memory that was used once would hide what a client takes.
        with bench.processes.engine() as engine:
            bench.say(f"  round {number}: {subscribers:,} clients")
            job = WeightJob(engine.stream_port, engine.pid, subscribers)
            weights.append(bench.processes.run(job, WeightResult).kib_each)
    workload = f"{subscribers:,} idle subscribers"
    bench.report.limit(workload, "memory of each", weights, target=_IDLE_KIB, unit="KiB")


def channel(bench: Bench) -> None:
    """Measure 64 KiB frames through one data channel."""
    results: list[TransferResult] = []
    with bench.processes.engine() as engine:
        for number in range(1, bench.rounds + 1):
            bench.say(f"  round {number}")
            job = ChannelJob(engine.port, engine.pid, CHUNK_BYTES, bench.seconds)
            results.append(bench.processes.run(job, TransferResult))
    _report_transfers(bench, "data channel, 64 KiB frames", results, _CHANNEL_MIB_PER_S)


def http_bodies(bench: Bench) -> None:
    """Measure a large body through an HTTP route to its worker, and one back."""
    size = _BODY_BYTES // (8 if bench.is_quick else 1)
    directions: tuple[Direction, ...] = ("upload", "download")
    for direction in directions:
        results: list[TransferResult] = []
        with bench.processes.engine() as engine:
            for number in range(1, min(bench.rounds, _BODY_ROUNDS) + 1):
                bench.say(f"  round {number}: {direction}")
                job = TransferJob(engine.port, engine.http_port, engine.pid, direction, size)
                results.append(bench.processes.run(job, TransferResult))
        workload = f"HTTP {direction} through a worker, {size >> 20:,} MiB"
        _report_transfers(bench, workload, results, _HTTP_MIB_PER_S)


def _deliver(
    bench: Bench,
    router: Subject,
    engine: Subject,
    job: PublishJob | StreamJob,
    workload: str,
    target: float | None,
) -> list[CallResult]:
    """Measure deliveries in turn with the bare router's calls."""
    results = bench.interleave(
        {
            "bare": partial(bench.base, router),
            "engine": partial(bench.processes.run, job, CallResult),
        }
    )
    ours = results["engine"]
    bench.report.figure(workload, "engine", ours, engine.memory())
    if target is not None:
        bench.report.ratio(
            workload,
            "deliveries/s ÷ R",
            rates(ours),
            rates(results["bare"]),
            target=target,
            at_least=True,
            unit="R",
        )
    missed = [float(result.lost + result.wrong) for result in ours]
    bench.report.limit(workload, "deliveries missed", missed, target=0, unit="")
    return ours


def _report_transfers(
    bench: Bench, workload: str, results: list[TransferResult], target: float
) -> None:
    bench.report.limit(
        workload,
        "rate",
        [result.mib_per_s for result in results],
        target=target,
        unit="MiB/s",
        at_least=True,
    )
    growths = [result.growth_mib for result in results]
    bench.report.limit(workload, "growth of RSS", growths, target=_GROWTH_MIB, unit="MiB")
