"""What handlers get of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.engine.modules.api.conftest import Start
from tests.integration.engine.modules.api.support import Client, HttpWorker, ok

FORM = {"content-type": "application/x-www-form-urlencoded", "content-length": "7"}


def only_call(worker: HttpWorker) -> Any:
    (invocation,) = worker.invocations
    return invocation["data"]


async def test_a_handler_gets_the_whole_request(client: Client, worker: HttpWorker) -> None:
    worker.route("/users/:id", ok(), method="POST")
    body = b'{"name": "Ada"}'
    headers = {"Content-Type": "application/json", "Content-Length": "15", "X-Foo": "Bar"}

    await client.request("POST", "/users/a%20b?q=hello&limit=10", headers, [body])

    payload = only_call(worker)
    refs = payload.pop("request_body"), payload.pop("response")
    assert [set(ref) for ref in refs] == [{"channel_id", "access_key", "direction"}] * 2
    assert [ref["direction"] for ref in refs] == ["read", "write"]
    assert payload == {
        "path_params": {"id": "a%20b"},
        "query_params": {"q": "hello", "limit": "10"},
        "headers": {"content-type": "application/json", "content-length": "15", "x-foo": "Bar"},
        "path": "/users/:id",
        "method": "POST",
        "body": {"name": "Ada"},
        "trigger": {"type": "api", "path": "/users/:id", "method": "POST"},
        "request_path": "/users/a%20b",
        "path_params_decoded": {"id": "a b"},
    }


async def test_a_path_parameter_is_handed_over(client: Client, worker: HttpWorker) -> None:
    worker.route("users/:id", ok())

    await client.get("/users/abc")

    assert only_call(worker)["path_params"] == {"id": "abc"}
    assert only_call(worker)["path"] == "users/:id"


async def test_a_query_is_decoded_and_the_last_of_equal_names_counts(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("x", ok())

    await client.get("/x?q=a+b&q=c&z")

    assert only_call(worker)["query_params"] == {"q": "c", "z": ""}


async def test_header_names_are_lower_case(client: Client, worker: HttpWorker) -> None:
    worker.route("x", ok())

    await client.get("/x", {"X-Foo": "Bar"})

    assert only_call(worker)["headers"]["x-foo"] == "Bar"


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.parametrize("value", [{"a": [1, None]}, [], 7, "text", True, None])
async def test_a_json_body_arrives_as_it_is(
    client: Client, worker: HttpWorker, content_type: str, value: Any
) -> None:
    worker.route("x", ok(), method="POST")
    body = json.dumps(value).encode()
    headers = {"content-type": content_type, "content-length": str(len(body))}

    answer = await client.request("POST", "/x", headers, [body])

    assert answer.status == 200
    assert only_call(worker)["body"] == value


async def test_a_body_in_chunks_is_put_together(client: Client, worker: HttpWorker) -> None:
    worker.route("x", ok(), method="PUT")
    headers = {"content-type": "application/json", "transfer-encoding": "chunked"}

    await client.request("PUT", "/x", headers, [b'{"a"', b":", b"1}"])

    assert only_call(worker)["body"] == {"a": 1}


@pytest.mark.parametrize("body", [b"{not json", b"", b'{"a":"\xff"}', b"[" * 3000 + b"]" * 3000])
async def test_malformed_json_is_null_and_the_handler_runs(
    client: Client, worker: HttpWorker, body: bytes
) -> None:
    worker.route("x", ok(), method="POST")
    headers = {"content-type": "application/json", "content-length": str(len(body))}

    answer = await client.request("POST", "/x", headers, [body])

    assert answer.status == 200
    assert only_call(worker)["body"] is None


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "application/problem+json", "image/png"],
)
async def test_other_bodies_are_null(client: Client, worker: HttpWorker, content_type: str) -> None:
    worker.route("x", ok(), method="POST")
    headers = {"content-type": content_type, "content-length": "7"}

    answer = await client.request("POST", "/x", headers, [b'{"a":1}'])

    assert answer.status == 200
    assert only_call(worker)["body"] is None


async def test_a_form_can_be_parsed_on_request(client: Client, worker: HttpWorker) -> None:
    worker.route("x", ok(), method="POST", parse_body=True)

    await client.request("POST", "/x", FORM, [b"a=b+c&d"])

    assert only_call(worker)["body"] == {"a": "b c", "d": ""}


async def test_text_can_be_parsed_on_request(client: Client, worker: HttpWorker) -> None:
    worker.route("x", ok(), method="POST", parse_body=True)
    headers = {"content-type": "text/plain; charset=utf-8", "content-length": "6"}

    await client.request("POST", "/x", headers, ["grüße".encode()[:6]])

    assert only_call(worker)["body"] == "grüß"


async def test_an_announced_body_beyond_the_limit_is_413(start: Start) -> None:
    setting = await start(body_limit=10)
    setting.worker.route("x", ok(), method="POST")
    headers = {"content-type": "application/json", "content-length": "11"}

    answer = await setting.client.request("POST", "/x", headers, [])

    assert answer.status == 413
    assert answer.json["error"]["code"] == "payload_too_large"
    assert setting.worker.invocations == []


async def test_a_body_that_grows_beyond_the_limit_is_413(start: Start) -> None:
    setting = await start(body_limit=10)
    setting.worker.route("x", ok(), method="POST")
    headers = {"content-type": "application/json", "transfer-encoding": "chunked"}

    answer = await setting.client.request("POST", "/x", headers, [b'"12345', b'67890"'])

    assert answer.status == 413
    assert setting.worker.invocations == []


async def test_the_limit_does_not_concern_bodies_that_nobody_reads(start: Start) -> None:
    setting = await start(body_limit=10)
    setting.worker.route("x", ok(), method="POST")
    headers = {"content-type": "image/png", "content-length": "11"}

    assert (await setting.client.request("POST", "/x", headers)).status == 200


async def test_a_client_that_leaves_with_half_a_body_starts_nothing(start: Start) -> None:
    setting = await start(concurrency_request_limit=1)
    setting.worker.route("x", ok(), method="POST")
    headers = {"content-type": "application/json", "content-length": "100"}

    await setting.client.request("POST", "/x", headers, [b'{"a"'], leaves=True)

    assert setting.worker.invocations == []
    assert (await setting.client.post("/x", {})).status == 200


async def test_trace_context_is_handed_on(client: Client, worker: HttpWorker) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    worker.route("x", ok())

    await client.get("/x", {"traceparent": traceparent, "baggage": "k=v"})

    assert worker.invocations[0]["traceparent"] == traceparent
    assert worker.invocations[0]["baggage"] == "k=v"


async def test_the_metadata_of_a_trigger_comes_beside_the_payload(
    client: Client, worker: HttpWorker
) -> None:
    worker.serve("f", ok())
    worker.trigger("t", "http", "f", config={"api_path": "x"}, metadata={"team": "shop"})

    await client.get("/x")

    assert worker.invocations[0]["metadata"] == {"team": "shop"}
