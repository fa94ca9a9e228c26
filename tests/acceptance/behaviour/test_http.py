"""The HTTP module on every server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.acceptance.behaviour.conftest import Site
from tests.acceptance.raw_worker import RawWorker
from tests.waiting import wait_until

OK = {"status_code": 200, "body": {"ok": True}}
JSON = {"content-type": "application/json"}


def in_background(call: Callable[[], httpx.Response]) -> Future[httpx.Response]:
    """Run a request in a thread of its own."""
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def answer_with(body: Any) -> Callable[[Any], Any]:
    """Return a handler that answers 200 with this body."""
    return lambda _: {"body": body}


def echo(request: Any) -> Any:
    return {"status_code": 200, "body": request}


@pytest.mark.parametrize("trigger_type", ["api", "http"])
def test_both_trigger_types_serve_a_route(site: Site, trigger_type: str) -> None:
    site.route("hello", echo, trigger_type=trigger_type)

    answer = site.get("hello")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["trigger"] == {
        "type": trigger_type,
        "path": f"{site.name}/hello",
        "method": "GET",
    }


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ({"status": 201, "body": {"a": 1}}, 201, '{"a": 1}'),
        ({"status_code": 404, "body": {"a": 1}}, 404, '{"a": 1}'),
        ({"status_code": 404, "status": 500, "body": 1}, 404, "1"),
        ({"status_code": "404", "body": "x"}, 404, '"x"'),
        ({"status_code": 999, "body": 1}, 999, "1"),
        ({"foo": 1}, 200, "{}"),
        ("bare", 200, "{}"),
        ({"status_code": 204, "body": {"a": 1}}, 204, ""),
        ({"status_code": 302, "headers": {"Location": "/x"}}, 302, "{}"),
        ({"body": "hi", "headers": {"X-A": "1", "Content-Type": "text/plain"}}, 200, "hi"),
        ({"body": None, "headers": {"Content-Type": "text/plain"}}, 200, ""),
        ({"body": {"a": 1}, "headers": ["X-A: 1"]}, 200, '{"a": 1}'),
    ],
)
def test_a_handlers_answer_becomes_the_response(
    site: Site, result: Any, status: int, body: str
) -> None:
    site.route("x", lambda _: result)

    answer = site.get("x", follow_redirects=False)

    assert (answer.status_code, answer.text) == (status, body)
    if isinstance(result, dict) and "X-A" in str(result.get("headers")):
        assert answer.headers["x-a"] == "1"


def test_a_path_parameter_is_raw_and_decoded(site: Site) -> None:
    site.route("users/:id", echo)

    request = site.get("users/a%20b").json()

    assert request["path_params"] == {"id": "a%20b"}
    assert request["path_params_decoded"] == {"id": "a b"}
    assert request["path"] == f"{site.name}/users/:id"
    assert request["request_path"] == f"/{site.name}/users/a%20b"
    assert request["method"] == "GET"


@pytest.mark.parametrize("order", [("users/me", "users/:id"), ("users/:id", "users/me")])
def test_a_literal_beats_a_parameter_in_either_order(site: Site, order: tuple[str, str]) -> None:
    for path in order:
        site.route(path, answer_with(path), function=path.replace(":", ""))

    assert site.get("users/me").json() == "users/me"
    assert site.get("users/you").json() == "users/:id"


def test_the_last_of_repeated_query_parameters_wins(site: Site) -> None:
    site.route("x", echo)

    request = site.client.get(f"{site.url('x')}?q=a+b&q=c&z&w=%C3%BC").json()

    assert request["query_params"] == {"q": "c", "z": "", "w": "ü"}


def test_header_names_are_lower_case(site: Site) -> None:
    site.route("x", echo)

    assert site.get("x", headers={"X-Foo": "Bar"}).json()["headers"]["x-foo"] == "Bar"


@pytest.mark.parametrize(
    ("content_type", "sent", "body"),
    [
        ("application/json", b'{"a": [1, 2.50]}', {"a": [1, 2.5]}),
        ("Application/JSON; charset=utf-8", b"5", 5),
        ("application/json", b'{"a":', None),
        ("application/json", b"", None),
        ("application/json", b'"\xff"', None),
        ("application/x-www-form-urlencoded", b"a=1", None),
        ("text/plain", b"hi", None),
        ("application/problem+json", b"{}", None),
    ],
)
def test_only_json_bodies_are_handed_over(
    site: Site, content_type: str, sent: bytes, body: Any
) -> None:
    site.route("x", echo, method="POST")

    answer = site.post("x", content=sent, headers={"content-type": content_type})

    assert answer.status_code == 200
    assert answer.json()["body"] == body


def test_form_and_text_bodies_are_parsed_where_the_trigger_says_so(site: Site) -> None:
    site.route("x", echo, method="POST", parse_body=True)

    form = site.post("x", data={"a": "1 2"}).json()["body"]
    text = site.post("x", content="hü", headers={"content-type": "text/plain"}).json()["body"]

    assert (form, text) == ({"a": "1 2"}, "hü")


def test_an_unknown_path_is_404_with_an_error_in_json(site: Site) -> None:
    answer = site.get("nope")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_wrong_method_is_405_and_names_the_right_ones(site: Site) -> None:
    site.route("x", echo)

    answer = site.post("x")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "HEAD"}
    assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


def test_a_handler_that_throws_is_500_and_the_next_request_works(site: Site) -> None:
    site.worker.send({"type": "registerfunction", "id": site.id("x")})
    site.worker.bind("api", site.id("x"), {"api_path": f"{site.name}/x"})
    site.settle()

    pending = in_background(lambda: site.get("x"))
    invocation = site.next_invocation("x")
    site.worker.send(
        {
            "type": "invocationresult",
            "invocation_id": invocation["invocation_id"],
            "error": {"code": "invocation_failed", "message": "secret"},
        }
    )
    failed = pending.result(20)

    assert failed.status_code == 500
    assert failed.json()["error"] == "internal server error"
    assert int(failed.json()["error_id"], 16) >= 0
    assert "secret" not in failed.text
    again = in_background(lambda: site.get("x"))
    site.answer(site.next_invocation("x"), OK)
    assert again.result(20).json() == {"ok": True}


def test_a_handler_that_takes_too_long_is_504_and_its_late_answer_is_dropped(
    strict: Site,
) -> None:
    strict.worker.serve("guard::all", lambda _: {"action": "continue"})
    strict.worker.send({"type": "registerfunction", "id": strict.id("x")})
    strict.worker.bind("api", strict.id("x"), {"api_path": f"{strict.name}/x"})
    strict.settle()

    late = strict.get("x")
    strict.answer(strict.next_invocation("x"), OK)
    again = in_background(lambda: strict.get("x"))
    strict.answer(strict.next_invocation("x"), {"body": "second"})

    assert late.status_code == 504
    assert "error" in late.json()
    assert again.result(20).json() == "second"


def test_a_worker_that_leaves_during_a_request_is_500_at_once(
    site: Site, connect: Callable[[], RawWorker]
) -> None:
    worker = connect()
    worker.send({"type": "registerfunction", "id": site.id("x")})
    worker.bind("api", site.id("x"), {"api_path": f"{site.name}/x"})
    site.settle(worker)

    pending = in_background(lambda: site.get("x"))
    site.next_invocation("x", worker)
    worker.close()

    assert pending.result(20).status_code == 500
    assert wait_until(lambda: site.get("x").status_code == 404, "the route is gone")


def test_an_unregistered_trigger_is_404_and_comes_back(site: Site) -> None:
    trigger_id = site.route("x", lambda _: OK)

    site.worker.unbind(trigger_id)
    site.settle()
    assert site.get("x").status_code == 404

    site.route("x", lambda _: OK)
    assert site.get("x").status_code == 200


def test_the_newer_of_two_triggers_answers_and_outlives_the_older(site: Site) -> None:
    older = site.route("x", lambda _: {"body": "old"}, function="old")
    site.route("x", lambda _: {"body": "new"}, function="new")

    assert site.get("x").json() == "new"
    site.worker.unbind(older)
    site.settle()
    assert site.get("x").json() == "new"


def test_the_older_of_two_triggers_answers_again_when_the_newer_goes(site: Site) -> None:
    site.route("x", lambda _: {"body": "old"}, function="old")
    newer = site.route("x", lambda _: {"body": "new"}, function="new")

    site.worker.unbind(newer)
    site.settle()

    assert site.get("x").json() == "old"


@pytest.mark.parametrize(("verdict", "status"), [(False, 422), (0, 200), (None, 200), ({}, 200)])
def test_only_false_of_a_condition_blocks(site: Site, verdict: Any, status: int) -> None:
    site.worker.serve(site.id("condition"), lambda _: verdict)
    site.route("x", lambda _: OK, condition_function_id=site.id("condition"))

    answer = site.get("x")

    assert answer.status_code == status
    if status == 422:
        assert answer.json() == {"error": "Request condition not met", "skipped": True}


def test_a_condition_that_throws_is_500(site: Site) -> None:
    site.route("x", lambda _: OK, _condition_path=site.id("missing"))

    assert site.get("x").status_code == 500


def test_a_preflight_is_answered_for_any_path(site: Site) -> None:
    headers = {"origin": "http://a", "access-control-request-method": "POST"}

    answer = site.request("OPTIONS", "anything", headers=headers)

    assert answer.status_code == 200
    assert answer.content == b""
    for name in ("origin", "methods", "headers"):
        assert answer.headers[f"access-control-allow-{name}"] == "*"


def test_a_registered_options_handler_runs_unless_it_is_a_preflight(site: Site) -> None:
    site.route("x", lambda _: {"body": "mine"}, method="OPTIONS")
    headers = {"origin": "http://a", "access-control-request-method": "POST"}

    assert site.request("OPTIONS", "x").json() == "mine"
    assert site.request("OPTIONS", "x", headers=headers).content == b""


@pytest.mark.parametrize(("origin", "allowed"), [("http://a", "http://a"), ("http://b", None)])
def test_an_origin_that_is_not_listed_is_served_without_permission(
    strict: Site, origin: str, allowed: str | None
) -> None:
    strict.worker.serve("guard::all", lambda _: {"action": "continue"})
    strict.route("x", lambda _: OK)

    answer = strict.get("x", headers={"origin": origin})

    assert answer.status_code == 200
    assert answer.headers.get("access-control-allow-origin") == allowed


def test_a_method_in_lower_case_works(site: Site) -> None:
    site.route("x", lambda _: OK, method="get")

    assert site.get("x").status_code == 200


def test_a_leading_slash_makes_no_other_route(site: Site) -> None:
    for path, function in ((f"/{site.name}/users", "one"), (f"{site.name}/users", "two")):
        site.worker.serve(site.id(function), answer_with(function))
        site.worker.bind("api", site.id(function), {"api_path": path})
    site.settle()

    assert site.get("users").json() == "two"


def test_a_trailing_slash_and_case_count(site: Site) -> None:
    site.route("users", lambda _: OK)

    assert [site.get(path).status_code for path in ("users", "users/", "Users")] == [200, 404, 404]


def test_health_is_built_in_until_a_worker_serves_it(site: Site) -> None:
    url = f"{site.engine.http_url}/health"
    built_in = site.client.get(url)
    site.worker.serve(site.id("health"), lambda _: {"body": "mine"})
    trigger_id = site.worker.bind("api", site.id("health"), {"api_path": "/health"})
    site.settle()
    own = site.client.get(url)
    site.worker.unbind(trigger_id)
    site.settle()

    assert built_in.status_code == 200
    assert built_in.json()["status"] == "healthy"
    assert own.json() == "mine"
    assert site.client.get(url).json()["status"] == "healthy"


def test_head_runs_the_get_handler_and_drops_the_body(site: Site) -> None:
    site.route("x", lambda _: {"body": {"a": 1}, "headers": {"X-A": "1"}})

    answer = site.request("HEAD", "x")

    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (200, b"", "1")


def test_requests_over_the_limit_wait_their_turn(strict: Site) -> None:
    strict.worker.serve("guard::all", lambda _: {"action": "continue"})
    strict.worker.send({"type": "registerfunction", "id": strict.id("x")})
    strict.worker.bind("api", strict.id("x"), {"api_path": f"{strict.name}/x"})
    strict.settle()

    pending = [in_background(lambda: strict.get("x")) for _ in range(2)]
    first = strict.next_invocation("x")
    strict.settle()
    waiting = strict.worker.frames_of("invokefunction")
    strict.answer(first, OK)
    strict.answer(strict.next_invocation("x"), OK)

    assert waiting == []
    assert [each.result(20).status_code for each in pending] == [200, 200]


def test_a_request_that_waits_too_long_is_503(strict: Site) -> None:
    strict.worker.serve("guard::all", lambda _: {"action": "continue"})
    strict.worker.send({"type": "registerfunction", "id": strict.id("x")})
    strict.worker.bind("api", strict.id("x"), {"api_path": f"{strict.name}/x"})
    strict.settle()

    statuses = [
        each.result(20).status_code
        for each in [in_background(lambda: strict.get("x")) for _ in range(3)]
    ]

    assert 503 in statuses
    assert 504 in statuses


def test_a_middleware_may_answer_in_the_handlers_place(strict: Site) -> None:
    seen: list[Any] = []

    def guard(call: Any) -> Any:
        seen.append(call)
        if call["request"]["headers"].get("x-key") == "right":
            return {"action": "continue"}
        return {"action": "respond", "response": {"status_code": 401, "body": {"who": "you"}}}

    strict.worker.serve("guard::all", guard)
    strict.route("x", lambda _: OK)

    refused = strict.get("x")
    allowed = strict.get("x", headers={"x-key": "right"})

    assert (refused.status_code, refused.json()) == (401, {"who": "you"})
    assert allowed.status_code == 200
    assert seen[0]["phase"] == "preHandler"
    assert seen[0]["context"] == {}
    assert set(seen[0]["request"]) == {"path_params", "query_params", "headers", "method"}


def test_a_middleware_that_takes_too_long_is_504(strict: Site) -> None:
    strict.worker.send({"type": "registerfunction", "id": "guard::all"})
    strict.route("x", lambda _: OK)

    answer = strict.get("x")

    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "middleware_timeout"


def test_a_body_over_the_limit_is_413(strict: Site) -> None:
    strict.worker.serve("guard::all", lambda _: {"action": "continue"})
    strict.route("x", lambda _: OK, method="POST")

    answer = strict.post("x", content=json.dumps("x" * 2000), headers=JSON)

    assert answer.status_code == 413
    assert "error" in answer.json()
    assert strict.post("x", content=json.dumps("x" * 500), headers=JSON).status_code == 200


def test_one_function_may_serve_several_routes(site: Site) -> None:
    site.route("a", lambda _: OK, function="f")
    site.route("b", lambda _: OK, function="f")

    assert [site.get(path).status_code for path in ("a", "b")] == [200, 200]


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "api_path"),
        ({"api_path": 5}, "api_path"),
        ({"api_path": "a/*b"}, "*b"),
        (None, "api_path"),
    ],
)
def test_a_route_that_cannot_be_is_refused_with_the_reason(
    site: Site, config: Any, named: str
) -> None:
    trigger_id = site.worker.bind("api", site.id("x"), config)
    site.settle()

    (refusal,) = site.worker.frames_of("triggerregistrationresult")
    assert refusal["id"] == trigger_id
    assert refusal["error"]["code"] == "trigger_registration_failed"
    assert named in refusal["error"]["message"]


def test_routes_of_one_shape_keep_their_own_parameter_names(
    site: Site, connect: Callable[[], RawWorker]
) -> None:
    newer = connect()
    site.route("a/:x", lambda request: {"body": request["path_params"]}, function="one")
    site.route(
        "a/:y", lambda request: {"body": request["path_params"]}, function="two", worker=newer
    )

    assert site.get("a/1").json() == {"y": "1"}
    newer.close()
    wait_until(lambda: site.get("a/1").json() == {"x": "1"}, "the older route serves")


def test_a_route_whose_function_is_gone_is_500(site: Site) -> None:
    site.route("x", lambda _: OK)

    site.worker.send({"type": "unregisterfunction", "id": site.id("x")})
    site.settle()

    assert site.get("x").status_code == 500


def test_json_passes_through_unchanged(site: Site) -> None:
    sent = b'{"b": 1.10, "a": 12345678901234567890, "\\u0041": "\\u00fc", "b": 2}'
    bodies: list[str] = []
    site.worker.send({"type": "registerfunction", "id": site.id("x")})
    site.worker.bind("api", site.id("x"), {"api_path": f"{site.name}/x", "http_method": "POST"})
    site.settle()

    pending = in_background(lambda: site.post("x", content=sent, headers=JSON))
    invocation = site.next_invocation("x")
    answer = f'{{"type":"invocationresult","invocation_id":"{invocation["invocation_id"]}"'
    site.worker.send(answer + ',"result":{"body":{"n": 1.0 ,"z":1e2}}}')
    bodies.append(pending.result(20).text)

    assert invocation["data"]["body"] == json.loads(sent)
    assert bodies == ['{"n": 1.0 ,"z":1e2}']


def test_trace_is_answered_405(site: Site) -> None:
    site.route("x", lambda _: OK)

    assert site.request("TRACE", "x").status_code == 405


def test_connections_are_kept_alive_and_pipelined_errors_do_not_end_them(site: Site) -> None:
    site.route("x", lambda _: OK)
    connection = http.client.HTTPConnection("localhost", site.engine.http_port, timeout=20)

    statuses = []
    for path in ("x", "nope", "x"):
        connection.request("GET", f"/{site.name}/{path}")
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)

    connection.close()
    assert statuses == [200, 404, 200]


def test_many_requests_at_once_are_all_answered(site: Site) -> None:
    site.route("n/:n", lambda request: {"body": request["path_params"]["n"]})
    lock = threading.Lock()
    answers: list[str] = []

    def ask(number: int) -> None:
        value = site.get(f"n/{number}").json()
        with lock:
            answers.append(value)

    with ThreadPoolExecutor(max_workers=16) as pool:
        list(pool.map(ask, range(200)))

    assert sorted(answers, key=int) == [str(number) for number in range(200)]
