"""From a handler's result to status, headers and body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.modules.api.answer import interpret, read_headers
from engine.modules.api.errors import BadStatusCode

JSON = (b"content-type", b"application/json")


def answer(value: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    status, headers, body = interpret(json.dumps(value).encode())
    return status, dict(headers), body


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        (b'{"status_code":201,"body":{"a": 1.50}}', 201, b'{"a": 1.50}'),
        (b'{"status":201,"body":{}}', 201, b"{}"),
        (b'{"status":500,"status_code":202,"body":[]}', 202, b"[]"),
        (b'{"foo":1}', 200, b"{}"),
        (b"{}", 200, b"{}"),
        (b"[1,2]", 200, b"{}"),
        (b'"text"', 200, b"{}"),
        (b"null", 200, b"{}"),
        (None, 200, b"{}"),
        (b'{"body":"hi"}', 200, b'"hi"'),
        (b'{"body":null}', 200, b"null"),
        (b'{"body":false}', 200, b"false"),
        (b'{"status_code":302}', 302, b"{}"),
        (b'{"status_code":null,"status":null,"headers":null,"body":1}', 200, b"1"),
    ],
)
def test_a_result_becomes_json(result: bytes | None, status: int, body: bytes) -> None:
    assert interpret(result) == (
        status,
        [JSON, (b"content-length", str(len(body)).encode())],
        body,
    )


@pytest.mark.parametrize("code", ["404", "404.0", '"404"', "4.04e2"])
def test_other_spellings_of_a_status_count(code: str) -> None:
    assert interpret(b'{"status_code":%b}' % code.encode()).status == 404
    assert interpret(b'{"status":%b}' % code.encode()).status == 404


def test_numbers_that_no_float_holds_do_no_harm() -> None:
    assert read_headers(b'{"X-A":1e999}') == ([], "")
    with pytest.raises(BadStatusCode, match="1e999"):
        interpret(b'{"status_code":1e999}')


@pytest.mark.parametrize("code", [100, 999, 418])
def test_every_status_of_three_digits_passes(code: int) -> None:
    assert interpret(b'{"status_code":%d}' % code).status == code


@pytest.mark.parametrize(
    "code", ["99", "1000", "-1", "404.5", '"abc"', '"0404"', "true", "{}", "[200]", '"٤٠٤"']
)
def test_another_status_code_is_named(code: str) -> None:
    with pytest.raises(BadStatusCode, match="status_code") as error:
        interpret(b'{"status_code":%b,"body":{}}' % code.encode())

    assert code in error.value.message


@pytest.mark.parametrize("code", ["99", "1000", '"1000"', "404.5"])
def test_a_number_that_is_no_status_is_named(code: str) -> None:
    with pytest.raises(BadStatusCode, match=r"with status \S+,"):
        interpret(b'{"status":%b}' % code.encode())


@pytest.mark.parametrize("word", ['"ok"', '"v2"', "true", "[200]", '{"code":500}'])
def test_a_status_that_is_no_number_is_no_status(word: str) -> None:
    assert interpret(b'{"status":%b,"body":{}}' % word.encode()).status == 200


@pytest.mark.parametrize("code", [204, 304])
def test_statuses_without_a_body_drop_it(code: int) -> None:
    result = interpret(b'{"status_code":%d,"headers":{"X-A":"1"},"body":{"a":1}}' % code)

    assert result == (code, [(b"x-a", b"1")], b"")


def test_an_interim_status_ends_the_connection() -> None:
    assert interpret(b'{"status_code":103,"body":1}') == (103, [(b"connection", b"close")], b"")


@pytest.mark.parametrize(
    ("content_type", "body", "sent"),
    [
        ("text/plain", "hi", b"hi"),
        ("text/html", 'gr\u00fc\u00dfe "x"', 'grüße "x"'.encode()),
        ("text/plain", None, b""),
        ("text/plain", {"a": 1}, b'{"a": 1}'),
        ("text/plain", 7, b"7"),
        ("application/json", {"a": 1}, b'{"a": 1}'),
        ("application/json", None, b"null"),
        ("application/json", '{"made":"before"}', b'{"made":"before"}'),
    ],
)
def test_a_content_type_decides_how_the_body_is_sent(
    content_type: str, body: Any, sent: bytes
) -> None:
    status, headers, written = answer({"headers": {"Content-Type": content_type}, "body": body})

    assert (status, written) == (200, sent)
    assert headers == {
        b"content-type": content_type.encode(),
        b"content-length": str(len(sent)).encode(),
    }


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        ({"X-A": "1", "X-B": "ü "}, [(b"x-a", b"1"), (b"x-b", "ü".encode())]),
        (["X-A: 1", "X-B:a:b"], [(b"x-a", b"1"), (b"x-b", b"a:b")]),
        (
            {"Set-Cookie": ["a=1", "b=2", 3]},
            [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
        ),
        (
            ["Set-Cookie: a=1", "Set-Cookie: b=2"],
            [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
        ),
        ({"X-A": 1, "X-B": None, "X-C": {"a": "b"}, "X-D": True}, []),
        ({"bad name": "1", "": "2", "a:b": "3", "ä": "4"}, []),
        (["no colon", 5, None, ": x"], []),
        ({"X-A": "a\r\nX-Evil: 1", "X-B": "a\x00", "X-C": "a\tb"}, [(b"x-c", b"a\tb")]),
        ({"Content-Length": "5", "Transfer-Encoding": "chunked", "Connection": "close"}, []),
        ("text", []),
        (7, []),
    ],
)
def test_headers_are_an_object_or_lines(raw: Any, headers: list[tuple[bytes, bytes]]) -> None:
    assert read_headers(json.dumps(raw).encode()) == (headers, "")


def test_of_several_content_types_the_last_counts() -> None:
    raw = json.dumps(["Content-Type: text/plain", "content-type: text/html"]).encode()

    assert read_headers(raw) == ([(b"content-type", b"text/html")], "text/html")


def test_a_caller_may_choose_what_is_absent() -> None:
    assert interpret(None, status=404, missing_body=b"null")[::2] == (404, b"null")
