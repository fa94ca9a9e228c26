"""Which request heads are kept, and for which requests they stand."""

from __future__ import annotations

import pytest

from engine.server.known_heads import MAX_BYTES, MAX_HEADS, KnownHead, KnownHeads, head_of

HEADERS = [(b"host", b"a")]
HEAD = b" HTTP/1.1\r\nHost: a\r\n\r\n"


def known() -> KnownHead:
    head = KnownHeads().share(b"GET /" + HEAD, HEAD, HEADERS)
    assert head is not None
    return head


def test_a_head_goes_from_the_version_to_the_end_of_the_request() -> None:
    assert head_of(b"GET /a" + HEAD) == HEAD


@pytest.mark.parametrize("data", [b"GET / HTTP/1.0\r\n\r\n", b"GET /" + HEAD + bytes(MAX_BYTES)])
def test_of_another_version_or_a_long_request_there_is_none(data: bytes) -> None:
    assert head_of(data) == b""


def test_equal_heads_are_one_object() -> None:
    heads = KnownHeads()

    first = heads.share(b"GET /a" + HEAD, HEAD, HEADERS)

    assert first is not None
    assert first.headers == tuple(HEADERS)
    assert heads.share(b"GET /b" + HEAD, HEAD, list(HEADERS)) is first


@pytest.mark.parametrize("name", [b"content-length", b"expect", b"transfer-encoding", b"upgrade"])
def test_a_head_that_announces_more_than_itself_is_not_kept(name: bytes) -> None:
    assert KnownHeads().share(b"GET /" + HEAD, HEAD, [*HEADERS, (name, b"0")]) is None


def test_what_only_looks_like_a_head_is_not_kept() -> None:
    data = b"GET / HTTP/1.1\nX: a" + HEAD

    assert KnownHeads().share(data, head_of(data), HEADERS) is None


def test_no_more_than_a_bound_is_kept() -> None:
    heads = KnownHeads()
    first = heads.share(b"GET /" + HEAD, HEAD, HEADERS)
    for number in range(MAX_HEADS):
        head = HEAD.replace(b"a", b"%d" % number)
        heads.share(b"GET /" + head, head, HEADERS)

    assert heads.share(b"GET /" + HEAD, HEAD, HEADERS) is not first


@pytest.mark.parametrize(
    ("start", "parts"),
    [
        (b"GET /", (b"GET", b"/", b"")),
        (b"HEAD /a%20b/?x=1?&y", (b"HEAD", b"/a%20b/", b"x=1?&y")),
        (b"GET //a?", (b"GET", b"//a", b"")),
    ],
)
def test_method_path_and_query_stand_before_the_head(
    start: bytes, parts: tuple[bytes, bytes, bytes]
) -> None:
    assert known().start_of(start + HEAD) == parts


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST /",
        b"get /",
        b"GET",
        b"GET ",
        b"GET a",
        b"GET  /",
        b"GET /a b",
        b"GET /a#b",
        b"GET /?#",
        b"GET /\xc3\xa4",
        b"GET /\x00",
        b"GET /\x7f",
        b"GET /\t",
        b"GET http://a/",
        b"\r\nGET /",
        b"GET /" + HEAD + b"GET /",
        b"GET / HTTP/1.0\r\nX: /",
    ],
)
def test_everything_else_before_it_is_left_to_the_parser(start: bytes) -> None:
    assert known().start_of(start + HEAD) is None
