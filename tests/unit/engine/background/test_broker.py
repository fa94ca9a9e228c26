from __future__ import annotations

import pytest

from engine.background.broker import (
    MEMORY_URL,
    REDIS_OPTIONS,
    broker_url,
    is_embedded,
    require_broker,
    transport_options,
)
from engine.background.service import executor


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, MEMORY_URL),
        ({"REDIS_URL": " "}, MEMORY_URL),
        ({"REDIS_URL": "redis://one"}, "redis://one"),
        ({"REDIS_URL": "redis://one", "CELERY_BROKER_URL": "amqp://two"}, "amqp://two"),
    ],
)
def test_the_environment_names_the_broker(environ: dict[str, str], url: str) -> None:
    assert broker_url(environ) == url


def test_only_redis_gets_the_timeouts_that_it_understands() -> None:
    assert transport_options("redis://one") == REDIS_OPTIONS
    assert transport_options("amqp://two") == {}


def test_a_celery_program_without_a_broker_ends_with_the_fix() -> None:
    require_broker("redis://one", "worker")

    with pytest.raises(SystemExit, match=r"celery beat: no broker is set.*set REDIS_URL"):
        require_broker(MEMORY_URL, "beat")


def test_who_executes_tasks_is_told_without_a_password() -> None:
    assert is_embedded(MEMORY_URL)
    assert executor(MEMORY_URL) == "in this process"
    assert executor("redis://:secret@host:6379/0") == (
        "by processes of Celery on redis://host:6379: "
        "celery -A iiiproject worker, celery -A iiiproject beat"
    )
