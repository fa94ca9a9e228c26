from __future__ import annotations

from typing import Final

import pytest

from tests.acceptance.placements import every_sdk
from tests.acceptance.raw_worker import RawWorker
from tests.acceptance.waiting import wait_until
from tests.acceptance.worker_process import WorkerProcess

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

# Payloads that one JSON parser takes and another refuses; each is for one worker's `echo`.
POISON: Final = ["NaN", "[Infinity]", '"\\ud800"', "1e400", "{", "[" * 5000 + "]" * 5000]


@every_sdk
def test_garbage_leaves_the_connection_of_its_sender_usable(
    worker: WorkerProcess, driver: RawWorker
) -> None:
    for frame in GARBAGE:
        driver.send(frame)

    assert driver.call(worker.named("echo"), "clean") == "clean"


@every_sdk
@pytest.mark.parametrize("payload", POISON, ids=lambda payload: payload[:8])
def test_payload_that_is_no_json_never_reaches_a_worker(
    worker: WorkerProcess, driver: RawWorker, payload: str
) -> None:
    driver.send(
        '{"type": "invokefunction", "invocation_id": "poison", '
        f'"function_id": "{worker.named("echo")}", "data": {payload}}}'
    )

    (answer,) = wait_until(lambda: driver.frames_of("invocationresult"), "an answer comes")
    assert (answer["invocation_id"], answer["error"]["code"]) == ("poison", "deserialization_error")
    assert driver.call(worker.named("echo"), "clean") == "clean"
