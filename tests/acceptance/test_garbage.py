from __future__ import annotations

from typing import Final

import pytest

from tests.acceptance.placements import every_sdk
from tests.acceptance.raw_worker import Frame, RawWorker
from tests.acceptance.worker_process import WorkerProcess
from tests.waiting import wait_until

GARBAGE: Final[list[str | bytes]] = [
    "",
    "  ",
    "{",
    "null",
    "[]",
    "{}",
    '{"type": 7}',
    '{"type": "no-such-message"}',
    '{"type": "invokefunction"}',
    '{"type": "registerfunction"}',
    '{"type": "registertrigger", "id": "x"}',
    '{"type": "invocationresult", "invocation_id": "unknown", "function_id": "x"}',
    b"\x00\x01\x02random",
    b"OTLP{not json",
    b"MTRC\xff\xfe",
    b"LOGS",
    bytes(range(256)),
]

# What some JSON parsers let through; older Python workers would go deaf after it.
POISON: Final = {
    "nan": "NaN",
    "infinity": "[Infinity]",
    "lone-surrogate": '"\\ud800"',
    "unfinished": "{",
    "nested-5000": "[" * 5000 + "]" * 5000,
}

# JSON by the letter, but more than some SDK's parser takes.
EXTREME: Final = {
    "huge-number": "1e400",
    "nested-140": "[" * 140 + "]" * 140,
}


@every_sdk
def test_garbage_leaves_the_connection_of_its_sender_usable(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    for frame in GARBAGE:
        driver.send(frame)

    assert driver.call(worker.named("echo"), "clean") == "clean"


@every_sdk
@pytest.mark.parametrize("payload", POISON.values(), ids=POISON)
def test_payload_that_is_no_json_never_reaches_a_worker(
    worker: WorkerProcess, driver: RawWorker, payload: str
) -> None:
    answer = answer_of_echo(worker, driver, payload)

    assert answer["error"]["code"] == "deserialization_error"
    assert driver.call(worker.named("echo"), "clean") == "clean"


@every_sdk
@pytest.mark.parametrize("payload", EXTREME.values(), ids=EXTREME)
def test_extreme_payload_does_not_leave_its_caller_waiting(
    worker: WorkerProcess, driver: RawWorker, payload: str
) -> None:
    answer_of_echo(worker, driver, payload)

    assert driver.call(worker.named("echo"), "clean") == "clean"


def answer_of_echo(worker: WorkerProcess, driver: RawWorker, payload: str) -> Frame:
    """Call a worker's `echo` with a payload as it is written and return the answer."""
    driver.send(
        '{"type": "invokefunction", "invocation_id": "raw", '
        f'"function_id": "{worker.named("echo")}", "data": {payload}}}'
    )
    (answer,) = wait_until(lambda: driver.frames_of("invocationresult"), "an answer comes", 5)
    assert answer["invocation_id"] == "raw"
    return answer
