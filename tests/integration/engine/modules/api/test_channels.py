"""The channels of a request, from its handler's call to its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.core.channels import Channel, Direction
from engine.core.engine import Engine
from tests.integration.engine.modules.api.conftest import Setting, Start
from tests.integration.engine.modules.api.support import fail, hold, ok, until


class Reader:
    """A reading end that takes everything."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.ending: int | None = None

    def take(self, is_text: bool, payload: bytes) -> bool:
        self.taken.append(payload)
        return True

    def finish(self, code: int, reason: str) -> None:
        self.ending = code


def channel(engine: Engine, payload: Any, name: str) -> Channel:
    """Return a channel of a request, as a socket that asks for it would get it."""
    ref = payload[name]
    offer = engine.channels.find(ref["channel_id"], ref["access_key"])
    assert offer is not None
    direction: Direction = "read" if ref["direction"] == "read" else "write"
    return offer.channel(direction)


@pytest.mark.parametrize(("handler", "status"), [(ok(), 200), (fail, 500), (hold, 504)])
async def test_a_request_that_is_over_leaves_no_channel_behind(
    start: Start, handler: Any, status: int
) -> None:
    setting = await start(default_timeout=30)
    setting.worker.route("a", handler)

    assert (await setting.client.get("/a")).status == status

    assert setting.engine.channels.offers == {}


async def test_a_handler_that_returns_nothing_and_opens_nothing_is_504(start: Start) -> None:
    setting = await start(default_timeout=30)
    setting.worker.route("a", lambda _: None)

    assert (await setting.client.get("/a")).status == 504


async def test_a_json_body_is_on_its_channel_as_it_was_sent(setting: Setting) -> None:
    body = b'{ "n": 1.50 }'
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    setting.worker.route("a", hold, method="POST")
    asking = asyncio.create_task(setting.client.request("POST", "/a", headers, [body]))
    await until(lambda: bool(setting.worker.held))
    (invocation,) = setting.worker.held
    reader = Reader()

    channel(setting.engine, invocation["data"], "request_body").connect_reader(reader)

    assert (reader.taken, reader.ending) == ([body], 1000)
    setting.worker.result(invocation, {"body": 1})
    assert (await asking).status == 200


async def test_the_condition_of_a_request_is_asked_before_there_are_channels(
    setting: Setting,
) -> None:
    setting.worker.serve("no", lambda _: False)
    setting.worker.route("a", ok(), condition_function_id="no")

    assert (await setting.client.get("/a")).status == 422

    assert setting.engine.channels.offers == {}


async def test_every_request_has_refs_of_its_own(setting: Setting) -> None:
    setting.worker.route("a", ok())
    for _ in range(3):
        await setting.client.get("/a")

    refs = [each["data"]["response"] for each in setting.worker.invocations]

    assert len({ref["channel_id"] for ref in refs}) == 3
    assert len({ref["access_key"] for ref in refs}) == 3
