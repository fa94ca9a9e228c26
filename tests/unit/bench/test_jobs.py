"""Jobs and results of the load generator on their way between processes."""

from __future__ import annotations

import msgspec
import pytest

from tests.bench.jobs import (
    BacklogJob,
    BacklogResult,
    CallJob,
    CallResult,
    ChannelJob,
    DeliverJob,
    EnqueueJob,
    FleetJob,
    FleetResult,
    Job,
    MixedJob,
    MixedResult,
    PickUpJob,
    PublishJob,
    QuietJob,
    QuietResult,
    ReturnJob,
    ReturnResult,
    ServeJob,
    StoreJob,
    StreamJob,
    TicksJob,
    TransferJob,
    TransferResult,
    WeightJob,
    WeightResult,
    decode_job,
    encode,
    route_path,
    route_url,
    store_key,
)
from tests.bench.payloads import Payload

_RESULT = CallResult(
    calls=2000,
    seconds=0.5,
    p50_us=1.0,
    p95_us=2.0,
    p99_us=3.0,
    cpu_s=0.04,
    load_cpu_s=0.02,
    lost=0,
    duplicated=0,
    wrong=0,
    sample="",
)


@pytest.mark.parametrize(
    "job",
    [
        CallJob(1, 2, 64, Payload("text", 100), 0.5, type_last=True, calls=10),
        FleetJob(1, 2, 1000, 10, 64, Payload("text", 100), 0.5),
        ServeJob(1, 10_000),
        StoreJob(1, 2, 64, "get", Payload("text", 200), 10, 0.5, 5, is_filled=True, calls=10),
        MixedJob(1, 2, 8, Payload("text", 100), 12_000.5, 10_000, 0.5),
        PublishJob(1, 2, 10, 64, Payload("text", 100), 0.5),
        StreamJob(1, 3, 2, 1_000, 500, 10, 64, Payload("text", 100), 0.5, is_mixed=True),
        WeightJob(1, 2, 10_000),
        ChannelJob(1, 2, 65_536, 0.5),
        TransferJob(1, 3, 2, "upload", 1 << 30),
        EnqueueJob(1, 2, 512, 100, 0.5),
        DeliverJob(1, 2, 512, 100, 0.5, helper=3, groups=1_000, concurrency=64),
        PickUpJob(1, 2, 100, 100, 0.12),
        BacklogJob(1, 2, 100_000, 512, 100, helper=3),
        QuietJob(1, 2, "cron", 100, 10, 3, (3, 4), "postgres://iii@127.0.0.1:5/postgres"),
        TicksJob(1, 2, 1_000, 60, helpers=(3, 4)),
        ReturnJob(1, 2, 1_000, 5, workers=100),
    ],
)
def test_a_job_arrives_as_it_was_sent(job: Job) -> None:
    line = encode(job)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_job(line) == job


def test_a_result_arrives_as_it_was_sent() -> None:
    fleet = FleetResult(1000, 0.5, 0.4, 1000, 61_000, _RESULT)
    weight = WeightResult(10, 0.5, 1000, 1250)
    transfer = TransferResult(1 << 30, 4.0, 1.0, 2.0, 100_000, 110_240)
    mixed = MixedResult(calls=_RESULT, sets=msgspec.structs.replace(_RESULT, calls=7))
    backlog = BacklogResult(4.0, _RESULT, 100_000, 110_240)
    quiet = QuietResult(100, 10.0, 0.05, 0.02, transactions=12)
    back = ReturnResult(1_000, 0.5, (0.4, 0.3), 0, 0, 100_000, 110_240)

    assert msgspec.json.decode(encode(fleet), type=FleetResult) == fleet
    assert msgspec.json.decode(encode(mixed), type=MixedResult) == mixed
    assert msgspec.json.decode(encode(weight), type=WeightResult) == weight
    assert msgspec.json.decode(encode(transfer), type=TransferResult) == transfer
    assert msgspec.json.decode(encode(backlog), type=BacklogResult) == backlog
    assert msgspec.json.decode(encode(quiet), type=QuietResult) == quiet
    assert msgspec.json.decode(encode(back), type=ReturnResult) == back


def test_figures_are_per_second_per_call_and_per_worker() -> None:
    fleet = FleetResult(1000, 0.5, 0.4, 1000, 61_000, _RESULT)

    assert _RESULT.calls_per_s == 4000
    assert _RESULT.cpu_us_per_call == pytest.approx(20)
    assert _RESULT.load_cpu_us_per_call == pytest.approx(10)
    assert fleet.workers_per_s == 2000
    assert fleet.kib_per_worker == 60


def test_clients_and_transfers_are_weighed() -> None:
    assert WeightResult(10, 0.5, 1000, 1250).kib_each == 25
    transfer = TransferResult(1 << 30, 4.0, 1.0, 2.0, 100_000, 110_240)
    assert (transfer.mib_per_s, transfer.growth_mib) == (256, 10)


def test_a_backlog_idle_queues_and_schedules_are_weighed() -> None:
    assert BacklogResult(4.0, _RESULT, 100_000, 110_240).growth_mib == 10
    assert QuietResult(100, 10.0, 0.05, 0.02, None).busy_percent == pytest.approx(0.5)
    assert ReturnResult(1_000, 0.5, (0.4,), 0, 0, 100_000, 110_240).growth_mib == 10


def test_no_calls_cost_nothing() -> None:
    assert msgspec.structs.replace(_RESULT, calls=0).cpu_us_per_call == 0


def test_every_other_route_has_a_parameter() -> None:
    assert [route_path(number) for number in (0, 1)] == [
        "/bench/0/items",
        "/bench/1/items/:id",
    ]
    assert [route_url(number) for number in (0, 1)] == ["/bench/0/items", "/bench/1/items/7"]


def test_keys_of_the_state_are_equally_long() -> None:
    assert [store_key(number) for number in (0, 999_999)] == ["key0000000", "key0999999"]
