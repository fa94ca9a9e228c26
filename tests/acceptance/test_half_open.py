from __future__ import annotations

from typing import Final

import httpx
import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.line import Line
from tests.acceptance.placements import Placement
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.sdks import EVERY_SDK, NEWEST, OLDEST
from tests.waiting import wait_until

# Each language's oldest and newest version, and every one that says which connection it lost.
RECONNECTING: Final = [
    Placement("picows", sdk)
    for sdk in EVERY_SDK
    if sdk in OLDEST or sdk in NEWEST or sdk.reattaches
]


def connections_named(driver: RawWorker, name: str) -> set[str]:
    """Return the ids of the workers of one name."""
    workers = driver.call("engine::workers::list", {})["workers"]
    return {worker["id"] for worker in workers if worker["name"] == name}


@pytest.mark.parametrize("placement", RECONNECTING, ids=str)
def test_nothing_is_lost_when_a_worker_reconnects_before_its_old_connection_is_noticed_dead(
    fleet: Fleet, driver: RawWorker, http: httpx.Client, placement: Placement
) -> None:
    with (
        Line(fleet.engine.worker_port) as line,
        fleet.extra_worker(placement.sdk, url=line.url) as worker,
    ):
        former = connections_named(driver, worker.service)

        line.cut()
        wait_until(lambda: connections_named(driver, worker.service) - former, "it reconnects", 20)
        assert driver.call(worker.named("echo"), "new") == "new"

        line.drop()
        wait_until(
            lambda: not connections_named(driver, worker.service) & former, "the old one is gone"
        )
        assert driver.call(worker.named("echo"), "still") == "still"
        route = f"{fleet.engine.http_url}/{worker.service}/items/1"
        assert http.get(route).status_code == 200


@pytest.mark.parametrize(
    "placement", [each for each in RECONNECTING if each.sdk.reattaches], ids=str
)
def test_reattaching_worker_replaces_its_old_connection_at_once(
    fleet: Fleet, driver: RawWorker, placement: Placement
) -> None:
    with (
        Line(fleet.engine.worker_port) as line,
        fleet.extra_worker(placement.sdk, url=line.url) as worker,
    ):
        (former,) = connections_named(driver, worker.service)

        line.cut()
        latter = wait_until(
            lambda: connections_named(driver, worker.service) - {former}, "it reconnects", 20
        )

        assert connections_named(driver, worker.service) == latter
