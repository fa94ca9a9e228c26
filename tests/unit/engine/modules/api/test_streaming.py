"""An answer that comes through a channel, from control messages to what a server gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.core.channels import COMPLETE, LOST
from engine.core.listeners import Message
from engine.modules.api.errors import ClientGone, Response
from engine.modules.api.streaming import HELD_BYTES, Download, IncompleteResponse

EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]
LIMIT_S = 5.0
BEAT_S = 0.01


class Owner:
    """Remembers what a download tells; `client` is what was sent."""

    def __init__(self, *, is_head: bool = False) -> None:
        self.told: list[Any] = []
        self.client: list[bytes] = []
        self.is_slow = False
        self.may_send = asyncio.Event()
        self.download = Download(self, is_head=is_head)
        self.channel = self.download.channel

    def write(self, *messages: bytes | dict[str, Any]) -> None:
        for message in messages:
            if isinstance(message, dict):
                self.channel.write(True, json.dumps(message).encode())
            else:
                self.channel.write(False, message)

    async def send(self, headers: Any = (), heartbeat_s: float | None = None) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.download.send(self._send, None, list(headers), heartbeat_s)

    async def _send(self, message: Message) -> None:
        if self.is_slow:
            await self.may_send.wait()
        if message["type"] == "http.response.start":
            self.client.append(b"%d" % message["status"])
        else:
            self.client.append(message["body"])

    def head_ready(self, download: Download) -> None:
        self.told.append("head")

    def answer_ready(self, response: Response) -> None:
        self.told.append(response)

    def writer_lost(self) -> None:
        self.told.append("lost")

    def body_missing(self) -> None:
        self.told.append("missing")

    def stream_over(self) -> None:
        self.told.append("over")


def set_status(status: Any) -> dict[str, Any]:
    return {"type": "set_status", "status_code": status}


def set_headers(**headers: Any) -> dict[str, Any]:
    return {
        "type": "set_headers",
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
    }


async def test_the_first_bytes_are_the_end_of_the_head() -> None:
    owner = Owner()
    owner.write(set_status(202), set_headers(X_A="1"))
    assert owner.told == []

    owner.write(b"body", set_status(500), set_headers(X_A="2"))

    assert owner.told == ["head"]
    assert (owner.download.status, owner.download.headers) == (202, [(b"x-a", b"1")])


async def test_headers_are_merged_and_the_last_of_a_name_counts() -> None:
    owner = Owner()

    owner.write(set_headers(a="1", b="2"), set_headers(A="3", bad=5, Connection="close"))

    assert owner.download.headers == [(b"b", b"2"), (b"a", b"3")]


@pytest.mark.parametrize("text", [b"", b"no JSON", b"5", b"[]", b'{"type":5}', b'{"type":"x"}'])
async def test_unknown_text_is_ignored(text: bytes) -> None:
    owner = Owner()

    owner.channel.write(True, text)
    owner.write(b"body")

    assert (owner.told, owner.download.status) == (["head"], 200)


async def test_parts_are_sent_as_they_come_and_together_if_they_wait() -> None:
    owner = Owner()
    owner.write(set_status(201), b"one ", b"two ")
    sending = asyncio.create_task(owner.send())
    while len(owner.client) < 2:
        await asyncio.sleep(0)

    owner.write(b"three")
    owner.channel.end_writing()
    await sending

    assert owner.client == [b"201", b"one two ", b"three", b""]


async def test_a_slow_client_pauses_the_writer() -> None:
    owner = Owner()
    told: list[str] = []

    class Writer:
        def pause(self) -> None:
            told.append("pause")

        def resume(self) -> None:
            told.append("resume")

        def stop(self, code: int, reason: str) -> None:
            told.append("stop")

    owner.channel.connect_writer(Writer())
    owner.is_slow = True
    parts = 0
    sending = asyncio.create_task(owner.send())
    while not told:
        owner.write(bytes(HELD_BYTES // 2))
        parts += 1
        await asyncio.sleep(0)
    owner.may_send.set()
    while told == ["pause"]:
        await asyncio.sleep(0)
    owner.channel.end_writing()
    await sending

    assert told == ["pause", "resume"]
    assert sum(map(len, owner.client[1:])) == parts * HELD_BYTES // 2


@pytest.mark.parametrize(
    ("status", "is_head", "headers"),
    [
        (204, False, []),
        (304, False, [(b"content-length", b"4")]),
        (200, True, [(b"content-length", b"4")]),
        (103, False, [(b"connection", b"close")]),
    ],
)
async def test_an_answer_without_a_body_is_ready_at_its_first_bytes(
    status: int, is_head: bool, headers: Any
) -> None:
    owner = Owner(is_head=is_head)

    owner.write(set_status(status), set_headers(Content_Length="4"), b"body")

    assert owner.told == [Response(status, headers, b"")]


async def test_no_bytes_at_all_are_an_empty_answer() -> None:
    owner = Owner()
    owner.write(set_status(201))

    owner.channel.end_writing()

    assert owner.told == [Response(201, [(b"content-length", b"0")], b"")]


async def test_no_bytes_where_some_were_announced_are_none() -> None:
    owner = Owner()
    owner.write(set_headers(content_length="5"))

    owner.channel.end_writing()

    assert owner.told == ["missing"]


async def test_an_announced_length_is_kept() -> None:
    owner = Owner()
    owner.write(set_headers(content_length="5"), b"1234567")

    await owner.send()

    assert owner.client == [b"200", b"12345", b""]


@pytest.mark.parametrize("length", ["x", "-1", "1.5", ""])
async def test_a_length_that_is_none_is_ignored(length: str) -> None:
    owner = Owner()
    owner.write(set_headers(content_length=length), b"body")
    owner.channel.end_writing()

    await owner.send()

    assert owner.download.headers == []
    assert owner.client == [b"200", b"body", b""]


async def test_too_little_is_not_complete() -> None:
    owner = Owner()
    owner.write(set_headers(content_length="5"), b"1234")
    owner.channel.end_writing()

    with pytest.raises(IncompleteResponse):
        await owner.send()

    assert owner.client == [b"200", b"1234"]


@pytest.mark.parametrize("is_complete", [True, False])
async def test_a_writer_that_is_lost_is_asked_about(is_complete: bool) -> None:
    owner = Owner()
    owner.write(b"body")
    owner.channel.end_writing(LOST)
    assert owner.told == ["head", "lost"]

    owner.download.settle(is_complete=is_complete)

    if is_complete:
        await owner.send()
        assert owner.client == [b"200", b"body", b""]
    else:
        with pytest.raises(IncompleteResponse):
            await owner.send()


async def test_a_writer_that_is_lost_before_it_said_anything_makes_no_answer() -> None:
    silent, spoken = Owner(), Owner()
    spoken.write(set_status(204))
    for owner in (silent, spoken):
        owner.channel.end_writing(LOST)
        owner.download.settle(is_complete=True)

    assert silent.told == ["lost", "missing"]
    assert spoken.told == ["lost", Response(204, [], b"")]


async def test_a_silent_event_stream_gets_comment_lines_between_lines_only() -> None:
    owner = Owner()
    owner.write(b"data: 1\n\n")
    sending = asyncio.create_task(owner.send(EVENTS, BEAT_S))
    while owner.client.count(b": keep-alive\n") < 2:
        await asyncio.sleep(0)

    owner.write(b"data: in the")
    while owner.client[-1] != b"data: in the":
        await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    loop.call_later(3 * BEAT_S, owner.write, b" middle\n\n")
    loop.call_later(3 * BEAT_S, owner.channel.end_writing)
    await sending

    sent = b"".join(owner.client)
    assert sent.startswith(b"200data: 1\n\n: keep-alive\n: keep-alive\n")
    assert b"data: in the middle\n\n" in sent


async def test_other_answers_get_no_comment_lines() -> None:
    owner = Owner()
    owner.write(b"text")
    sending = asyncio.create_task(owner.send([(b"content-type", b"text/plain")], BEAT_S))
    asyncio.get_running_loop().call_later(3 * BEAT_S, owner.channel.end_writing, COMPLETE)

    await sending

    assert owner.client == [b"200", b"text", b""]


async def test_an_abandoned_answer_ends_at_once() -> None:
    owner = Owner()
    owner.write(b"begun")
    sending = asyncio.create_task(owner.send())
    while len(owner.client) < 2:
        await asyncio.sleep(0)

    owner.download.abandon()

    with pytest.raises(ClientGone):
        await sending
    assert owner.client == [b"200", b"begun"]
