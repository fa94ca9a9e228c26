"""Schedules on PostgreSQL and Redis, with the Celery worker and beat as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.cron_schedule import Schedule
from tests.acceptance.deployment import Deployment, with_services
from tests.acceptance.fleet import Fleet
from tests.acceptance.sdks import NEWEST, Sdk
from tests.acceptance.test_cron import GENERATIONS, check_errors, check_payload

SDKS: Final = (*NEWEST, *GENERATIONS)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One for all tests here."""
    with with_services(tmp_path_factory.mktemp("services")) as deployment:
        yield deployment


@pytest.mark.parametrize("sdk", dict.fromkeys(SDKS), ids=str)
def test_schedules_are_kept(
    deployment: Deployment, sdk: Sdk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fleet = Fleet(deployment.engine, tmp_path_factory.mktemp("workers"))
    with fleet.connect() as driver, fleet.extra_worker(sdk) as worker:
        check_payload(driver, worker, Schedule(driver))
        check_errors(driver, worker, Schedule(driver))
