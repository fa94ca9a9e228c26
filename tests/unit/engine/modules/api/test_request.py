"""The payload that handlers get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.core.triggers import Trigger
from engine.modules.api.path import PathPattern
from engine.modules.api.request import Request, read_fields, read_query
from engine.modules.api.routes import FunctionRoute


def scope(
    path: str = "/",
    query: bytes = b"",
    method: str = "GET",
    headers: dict[bytes, bytes] | None = None,
) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list((headers or {}).items()),
    }


def route(path: str, trigger_type: str = "api", method: str = "GET") -> FunctionRoute:
    return FunctionRoute(method, PathPattern.parse(path), Trigger("t", trigger_type, "f"))


def test_a_payload_has_every_member() -> None:
    users = route("/users/:id", method="POST")
    request = Request(scope("/users/a%20b", b"q=1", "POST", {b"content-type": b"application/json"}))

    payload = request.payload(("id",), ("a%20b",), users.described, b'{"n": 1.50}')

    assert b'"body":{"n": 1.50}' in payload
    assert json.loads(payload) == {
        "path_params": {"id": "a%20b"},
        "query_params": {"q": "1"},
        "headers": {"content-type": "application/json"},
        "path": "/users/:id",
        "method": "POST",
        "body": {"n": 1.5},
        "trigger": {"type": "api", "path": "/users/:id", "method": "POST"},
        "request_path": "/users/a%20b",
        "path_params_decoded": {"id": "a b"},
    }


def test_of_equal_parameter_names_the_last_counts() -> None:
    pair = route(":a/:a")

    payload = Request(scope("/1/2")).payload(("a", "a"), ("1", "2"), pair.described, b"null")

    assert json.loads(payload)["path_params"] == {"a": "2"}


def test_a_head_request_on_a_get_route_says_so() -> None:
    payload = Request(scope("/a", method="HEAD")).payload((), (), route("a").described, b"null")

    read = json.loads(payload)
    assert read["method"] == "HEAD"
    assert read["trigger"]["method"] == "GET"


def test_quotes_in_a_path_do_not_break_the_payload() -> None:
    path = '/a"b\\c'

    payload = Request(scope(path)).payload(("x",), ('a"b\\c',), route(':x"').described, b"null")

    assert json.loads(payload)["request_path"] == path
    assert json.loads(payload)["path"] == ':x"'


def test_a_path_without_its_raw_form_is_encoded_again() -> None:
    bare = scope("/two words")
    del bare["raw_path"]

    assert Request(bare).path == "/two%20words"


@pytest.mark.parametrize(
    ("query", "params"),
    [
        (b"", {}),
        (b"q=a+b&q=c&z", {"q": "c", "z": ""}),
        (b"a=%C3%A4&b=x%26y", {"a": "ä", "b": "x&y"}),
        (b"a=1=2&&=v", {"a": "1=2", "": "v"}),
        (b"a=%FF&b=%zz", {"a": "\ufffd", "b": "%zz"}),
        (b"a%20b=c", {"a b": "c"}),
    ],
)
def test_a_query_is_decoded(query: bytes, params: dict[str, str]) -> None:
    assert json.loads(read_query(query)) == params


def test_of_equal_headers_the_last_counts_and_what_is_no_text_is_empty() -> None:
    headers = [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"\xff"), (b"x-c", "ä".encode())]

    assert read_fields(headers) == {"x-a": "2", "x-b": "", "x-c": ""}


def test_headers_that_a_server_says_will_come_again_are_read_once() -> None:
    headers = ((b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b'"\xff'))
    requests = [Request({**scope(), "headers": headers}) for _ in range(2)]

    assert requests[0].fields is requests[1].fields
    assert requests[0].fields == {"x-a": "2", "x-b": ""}
    payload = requests[1].payload((), (), route("a").described, b"null")
    assert json.loads(payload)["headers"] == {"x-a": "2", "x-b": ""}


def test_many_different_headers_are_read_all_the_same() -> None:
    for number in range(1000):
        headers = ((b"x-a", b"%d" % number),)
        assert Request({**scope(), "headers": headers}).fields == {"x-a": str(number)}


@pytest.mark.parametrize(
    ("headers", "has_body", "length"),
    [
        ({}, False, 0),
        ({b"content-length": b"0"}, False, 0),
        ({b"content-length": b"12"}, True, 12),
        ({b"transfer-encoding": b"chunked"}, True, 0),
        ({b"content-length": b"x"}, True, 0),
    ],
)
def test_the_head_says_whether_a_body_follows(
    headers: dict[bytes, bytes], has_body: bool, length: int
) -> None:
    request = Request(scope(headers=headers))

    assert (request.has_body, request.announced_length) == (has_body, length)


def test_middleware_gets_the_head_alone() -> None:
    request = Request(scope("/users/1", b"a=b", "POST", {b"x-a": b"1"}))

    assert json.loads(request.head(("id",), ("1",))) == {
        "phase": "preHandler",
        "request": {
            "path_params": {"id": "1"},
            "query_params": {"a": "b"},
            "headers": {"x-a": "1"},
            "method": "POST",
        },
        "context": {},
    }
