"""How the answer to a large request is read in pieces, and counted."""

from __future__ import annotations

import pytest

from tests.bench.connection import ConnectionBroken
from tests.bench.http_body import BodyCounter

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\nx: y\r\n\r\n"
    b"3\r\nhel\r\nA;name=value\r\nlo\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (PLAIN, 200, b"hello"),
        (CHUNKED, 201, b"hello\r\n world"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, b""),
    ],
)
def test_an_answer_is_counted_however_it_is_cut(
    answer: bytes, status: int, body: bytes, size: int
) -> None:
    counter = BodyCounter()
    for start in range(0, len(answer), size):
        assert not counter.is_over
        counter.feed(memoryview(answer)[start : start + size])
    assert counter.is_over
    assert (counter.status, counter.received, counter.beginning) == (status, len(body), body)


def test_a_head_without_an_end_is_refused() -> None:
    counter = BodyCounter()
    with pytest.raises(ConnectionBroken, match="without an end"):
        counter.feed(memoryview(b"x" * 200_000))
