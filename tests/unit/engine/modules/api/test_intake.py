"""Request bodies on their way into a channel, and clients that leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.core.channels import COMPLETE, FRAME_SIZE
from engine.core.listeners import Message
from engine.modules.api.intake import Intake
from engine.modules.api.request import Request

LIMIT_S = 5.0
SCOPE = {"method": "POST", "raw_path": b"/", "query_string": b"", "headers": []}
GONE = {"type": "http.disconnect"}


def part(body: bytes, more_body: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


class Client:
    """A client that sends what it is told, and whoever owns the intake of it."""

    def __init__(self, body: bytes | None = None, limit: int | None = None) -> None:
        self.told: list[Any] = []
        self.received = 0
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self.intake = Intake(Request(dict(SCOPE), self._receive), body, limit, self)

    async def _receive(self) -> Message:
        event = await self._events.get()
        self.received += 1
        return event

    def send(self, *events: Message) -> None:
        for event in events:
            self._events.put_nowait(event)

    def body_moved(self) -> None:
        if "moved" not in self.told:
            self.told.append("moved")

    def body_too_large(self, limit: int) -> None:
        self.told.append(limit)

    def client_left(self) -> None:
        self.told.append("left")


class Reader:
    """A reading end that has room for so many messages."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.taken: list[bytes] = []
        self.ending: int | None = None
        self._room = room

    def take(self, is_text: bool, payload: bytes) -> bool:
        assert not is_text
        self.taken.append(payload)
        return len(self.taken) < self._room

    def finish(self, code: int, reason: str) -> None:
        self.ending = code


async def until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("size", [0, 1, FRAME_SIZE, 3 * FRAME_SIZE + 1, 100 * FRAME_SIZE])
async def test_a_body_in_memory_comes_in_frames_and_is_closed(size: int) -> None:
    client, reader = Client(body=bytes(size)), Reader()

    client.intake.open().connect_reader(reader)

    assert sum(map(len, reader.taken)) == size
    assert all(len(payload) <= FRAME_SIZE for payload in reader.taken)
    assert reader.ending == COMPLETE
    client.intake.close()


async def test_a_body_in_memory_waits_for_its_reader() -> None:
    client, reader = Client(body=bytes(200 * FRAME_SIZE)), Reader(room=1)
    channel = client.intake.open()
    channel.connect_reader(reader)
    assert len(reader.taken) == 1

    while reader.ending is None:
        reader._room += 1
        channel.go_on()

    assert sum(map(len, reader.taken)) == 200 * FRAME_SIZE
    client.intake.close()


async def test_a_body_that_streams_is_read_only_when_it_is_wanted() -> None:
    client, reader = Client(), Reader()
    client.send(part(b"one"), part(b"two", more_body=False))
    client.intake.watch()
    await asyncio.sleep(0)
    assert client.received == 0

    client.intake.open().connect_reader(reader)
    await until(lambda: reader.ending is not None)

    assert (b"".join(reader.taken), reader.ending) == (b"onetwo", COMPLETE)
    assert client.told == ["moved"]
    client.intake.close()


async def test_a_body_that_streams_waits_for_its_reader() -> None:
    client, reader = Client(), Reader(room=1)
    client.send(*(part(bytes(FRAME_SIZE)) for _ in range(1000)))
    channel = client.intake.open()
    channel.connect_reader(reader)
    await until(lambda: client.received > 60)
    for _ in range(100):
        await asyncio.sleep(0)
    assert client.received < 100

    reader._room = 2000
    channel.go_on()

    await until(lambda: len(reader.taken) == 1000)
    client.intake.close()


async def test_a_body_that_nobody_reads_any_more_is_dropped() -> None:
    client, reader = Client(), Reader()
    channel = client.intake.open()
    channel.connect_reader(reader)
    channel.end_reading()

    client.send(part(b"dropped"), part(b"", more_body=False), GONE)

    await until(lambda: "left" in client.told)
    assert client.told == ["left"]
    assert reader.taken == []


async def test_a_client_that_leaves_within_its_body_ends_the_reader_with_an_error() -> None:
    client, reader = Client(), Reader()
    client.intake.open().connect_reader(reader)

    client.send(part(b"half"), GONE)

    await until(lambda: reader.ending is not None)
    assert (reader.taken, reader.ending) == ([b"half"], 1011)
    assert client.told == ["moved", "left"]


async def test_a_client_that_leaves_after_its_body_is_noticed() -> None:
    client = Client(body=b"{}")
    client.intake.watch()

    client.send(part(b"{}", more_body=False), GONE)

    await until(lambda: client.told == ["left"])


async def test_a_body_beyond_the_limit_is_told_of() -> None:
    client, reader = Client(limit=10), Reader()
    client.intake.open().connect_reader(reader)

    client.send(part(b"1234567890"), part(b"1"))

    await until(lambda: reader.ending is not None)
    assert (b"".join(reader.taken), reader.ending) == (b"1234567890", 1011)
    assert client.told == ["moved", 10]


async def test_a_request_that_is_over_ends_the_reader_of_a_body_that_is_not() -> None:
    client, reader = Client(), Reader()
    client.intake.open().connect_reader(reader)
    client.send(part(b"half"))
    await until(lambda: reader.taken)

    client.intake.close()

    assert reader.ending == 1011
