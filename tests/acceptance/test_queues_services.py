"""Durable queues on PostgreSQL and Redis, with the Celery worker as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.deployment import Deployment, with_services
from tests.acceptance.fleet import Fleet
from tests.acceptance.sdks import NEWEST, Sdk
from tests.acceptance.test_queues import check_dead_letter, check_named_queue, check_values

SDKS: Final = (*NEWEST, Sdk("node", "0.3.0"), Sdk("node", "0.11.6"), Sdk("python", "0.4.1"))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One for all tests here."""
    with with_services(tmp_path_factory.mktemp("services")) as deployment:
        yield deployment


@pytest.mark.parametrize("sdk", SDKS, ids=str)
def test_queues_are_served(
    deployment: Deployment, sdk: Sdk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fleet = Fleet(deployment.engine, tmp_path_factory.mktemp("workers"))
    with fleet.connect() as driver, fleet.extra_worker(sdk) as worker:
        check_values(driver, worker)
        check_dead_letter(driver, worker)
        if sdk.has_enqueue_action:
            check_named_queue(driver, worker)
