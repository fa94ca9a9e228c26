"""`engine::channels::create`, and what becomes of a worker's channels when it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.channels import MAX_CHANNELS_OF_WORKER
from engine.core.engine import Engine
from tests.fakes import FakeWorker, make_engine


class Recorder:
    """A writing end that says when the channel is full."""

    is_paused = False

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def stop(self, code: int, reason: str) -> None:
        """Forget it."""


def capacity(engine: Engine, ref: dict[str, Any]) -> int:
    """Return how many messages a channel holds before it pauses its writer."""
    offer = engine.channels.find(ref["channel_id"], ref["access_key"])
    assert offer is not None
    channel, writer = offer.channel("write"), Recorder()
    assert channel.connect_writer(writer)
    count = 0
    while not writer.is_paused:
        channel.write(True, b"")
        count += 1
    return count


@pytest.mark.parametrize("function_id", ["engine::channels::create", "engine.channels.create"])
async def test_a_channel_has_two_refs_of_one_id_and_key(function_id: str) -> None:
    engine = make_engine()
    await engine.start()

    result = FakeWorker(engine).call(function_id)["result"]

    writer, reader = result["writer"], result["reader"]
    assert set(result) == {"writer", "reader"}
    assert (writer.pop("direction"), reader.pop("direction")) == ("write", "read")
    assert writer == reader
    assert set(writer) == {"channel_id", "access_key"}
    await engine.stop(0)


@pytest.mark.parametrize(
    ("payload", "messages"),
    [
        (None, 64),
        ({}, 64),
        ({"buffer_size": None}, 64),
        ({"buffer_size": 8}, 8),
        ({"buffer_size": 0}, 1),
        ({"buffer_size": -5}, 1),
        ({"buffer_size": 1_000_000}, 1024),
        ([3], 3),
    ],
)
async def test_a_buffer_size_is_clamped(payload: Any, messages: int) -> None:
    engine = make_engine()
    await engine.start()

    result = FakeWorker(engine).call("engine::channels::create", payload)["result"]

    assert capacity(engine, result["writer"]) == messages
    await engine.stop(0)


async def test_one_channel_too_many_is_an_error_that_says_so() -> None:
    engine = make_engine()
    await engine.start()
    worker = FakeWorker(engine)
    for _ in range(MAX_CHANNELS_OF_WORKER):
        worker.call("engine::channels::create")

    error = worker.call("engine::channels::create")["error"]

    assert error["code"] == "channel_limit_reached"
    await engine.stop(0)


async def test_a_leaving_worker_takes_its_unused_channels_along() -> None:
    engine = make_engine()
    await engine.start()
    worker = FakeWorker(engine)
    ref = worker.call("engine::channels::create")["result"]["reader"]

    worker.leave()

    assert engine.channels.find(ref["channel_id"], ref["access_key"]) is None
    await engine.stop(0)
