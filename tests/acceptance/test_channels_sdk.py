"""Data channels with the SDKs that have them, within a language and across."""

from __future__ import annotations

from typing import Any, Final

from tests.acceptance.fleet import Fleet
from tests.acceptance.placements import sdks_where
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import Sdk
from tests.acceptance.test_calls import each_partner
from tests.acceptance.worker_process import WorkerProcess

# What SDKs cut into frames of 65,536 and 4,464 bytes.
SIZE: Final = 70_000
# More than a channel holds back for a reader that does not keep up.
LARGE: Final = 6_000_000
MESSAGE: Final = '{"type":"hello","text":"Grüße"}'

sdks_with_channels = sdks_where(lambda sdk: sdk.has_channels)


def write(driver: RawWorker, worker: WorkerProcess, ends: Any) -> None:
    """Let a worker write everything and close, before anybody reads."""
    data = {"writer": ends["writer"], "size": SIZE, "message": MESSAGE}
    driver.call(worker.named("write_channel"), data)


@sdks_with_channels
def test_a_reader_gets_what_was_written_before_it_came(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    ends = driver.call(worker.named("open_channel"))

    write(driver, worker, ends)
    read = driver.call(worker.named("read_channel"), {"reader": ends["reader"]})

    assert read == {"messages": [MESSAGE], "size": SIZE, "is_right": True}


@sdks_with_channels
@each_partner
def test_a_channel_leads_to_a_worker_of_another_language(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]
    ends = driver.call("engine::channels::create", {})

    write(driver, worker, ends)
    read = driver.call(partner.named("read_channel"), {"reader": ends["reader"]})

    assert read == {"messages": [MESSAGE], "size": SIZE, "is_right": True}


@sdks_with_channels
@each_partner
def test_a_channel_comes_from_a_worker_of_another_language(
    worker: WorkerProcess, fleet: Fleet, driver: RawWorker, partner_sdk: Sdk
) -> None:
    partner = fleet[partner_sdk]
    ends = driver.call(partner.named("open_channel"))

    write(driver, partner, ends)
    read = driver.call(worker.named("read_channel"), {"reader": ends["reader"]})

    assert read == {"messages": [MESSAGE], "size": SIZE, "is_right": True}


@sdks_with_channels
def test_a_writer_waits_for_a_reader_and_nothing_is_lost(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    ends = driver.call(worker.named("open_channel"))
    data = {"writer": ends["writer"], "size": LARGE, "message": MESSAGE}

    written = driver.start_call(worker.named("write_channel"), data)
    read = driver.call(worker.named("read_channel"), {"reader": ends["reader"]}, limit_s=60)

    assert read == {"messages": [MESSAGE], "size": LARGE, "is_right": True}
    assert written.result(15) is None
