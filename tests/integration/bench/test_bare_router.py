"""The bare router beside which everything is measured: it serves one generator after another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.connection import Loop
from tests.bench.measuring import JobFailed
from tests.bench.one_call import ask
from tests.bench.processes import Processes, Subject
from tests.bench.traffic import Worker
from tests.waiting import wait_until

ECHO = "bench::echo"


@pytest.fixture
def router() -> Iterator[Subject]:
    """A running one."""
    with Processes().bare_router() as router:
        yield router


def call(port: int) -> str:
    """Call the function as the only client of a load generator; return the answer."""
    loop = Loop()
    try:
        return str(ask(loop, port, ECHO, b"1"))
    except JobFailed as error:
        return str(error)
    finally:
        loop.close()


def test_the_functions_of_a_worker_end_with_its_connection(router: Subject) -> None:
    loop = Loop()
    worker = Worker(loop, router.port, [ECHO], b'"echoed"')
    while not worker.connection.is_open:
        loop.turn(0.1)
    assert "function_not_found" not in str(ask(loop, router.port, ECHO, b"1"))

    loop.close()

    wait_until(lambda: "function_not_found" in call(router.port), "nobody serves it")
