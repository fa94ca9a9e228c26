"""Request bodies: limits, and what becomes JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.modules.api.body import (
    is_json,
    is_readable,
    json_body,
    parsed_body,
    read_body,
)
from engine.modules.api.calls import Deadlines
from engine.modules.api.errors import CLOSE, ClientGone, HttpError

LIMIT = 10


def receiving(*chunks: bytes, ends: bool = True) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Give the chunks one by one; the client leaves after the last if it does not end."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or not ends}

    return receive


async def read(
    receive: Callable[[], Awaitable[Any]], announced: int = 0, *, is_held_back: bool = False
) -> bytes:
    return await read_body(
        receive,
        announced=announced,
        is_held_back=is_held_back,
        limit=LIMIT,
        deadlines=Deadlines(0.02),
    )


async def test_chunks_are_put_together() -> None:
    assert await read(receiving(b"12345", b"", b"67890")) == b"1234567890"


async def test_bytes_are_counted_as_they_come() -> None:
    receive = receiving(b"12345", b"678901", b"never read")

    with pytest.raises(HttpError) as error:
        await read(receive)

    assert (error.value.status, error.value.error_code) == (413, "payload_too_large")
    assert (await receive())["body"] == b"never read"


async def test_an_announced_length_is_refused_before_anything_is_read() -> None:
    with pytest.raises(HttpError) as error:
        await read(receiving(), announced=11)

    assert (error.value.status, error.value.headers) == (413, None)


async def test_a_refused_body_that_was_held_back_ends_the_connection() -> None:
    with pytest.raises(HttpError) as error:
        await read(receiving(), announced=11, is_held_back=True)

    assert error.value.headers == [CLOSE]


async def test_a_client_that_leaves_is_noticed() -> None:
    with pytest.raises(ClientGone):
        await read(receiving(b"1", ends=False))


async def test_a_silent_client_gets_408() -> None:
    async def silence() -> None:
        await asyncio.Event().wait()

    with pytest.raises(HttpError) as error:
        await read(silence)

    assert (error.value.status, error.value.headers) == (408, [CLOSE])


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/plain; x=application/json", True),
        ("application/problem+json", False),
        ("", False),
    ],
)
def test_json_is_what_names_it(content_type: str, expected: bool) -> None:
    assert is_json(content_type) is expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.50, "x"], "a": null}',
        b"7",
        b'"scalar"',
        b"null",
        b' {"a":1}\n',
        '"ä"'.encode(),
    ],
)
def test_a_json_body_stays_as_it_was_sent(body: bytes) -> None:
    assert json_body(body) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1} x',
        b"NaN",
        b'"\xff"',
        b'"\\ud800"',
        b"[" * 5000 + b"]" * 5000,
        b"'a'",
    ],
)
def test_what_is_no_json_becomes_null(body: bytes) -> None:
    assert json_body(body) == b"null"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain", "grüße".encode(), "grüße"),
        ("text/csv; charset=utf-8", b"a,b", "a,b"),
        ("text/plain", b"\xff", "\ufffd"),
        ("application/x-www-form-urlencoded", b"a=1&b=x+y&a=2", {"a": "2", "b": "x y"}),
        ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", b"", {}),
    ],
)
def test_text_and_forms_can_be_parsed(content_type: str, body: bytes, expected: Any) -> None:
    assert is_readable(content_type)
    assert json.loads(parsed_body(content_type, body)) == expected


@pytest.mark.parametrize("content_type", ["", "multipart/form-data", "application/octet-stream"])
def test_other_types_cannot(content_type: str) -> None:
    assert not is_readable(content_type)
