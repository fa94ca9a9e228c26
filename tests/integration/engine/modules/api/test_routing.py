"""Which route serves a request, from registration to disconnect."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.integration.engine.modules.api.conftest import Setting, Start
from tests.integration.engine.modules.api.support import Client, HttpWorker, hold, ok, until

NOT_FOUND = {"error": {"code": "NOT_FOUND", "message": "Not Found"}}


@pytest.mark.parametrize("trigger_type", ["api", "http"])
async def test_a_trigger_of_either_type_is_a_route(
    client: Client, worker: HttpWorker, trigger_type: str
) -> None:
    worker.route("hello", ok({"hello": "world"}), method="GET", trigger_type=trigger_type)

    answer = await client.get("/hello")

    assert (answer.status, answer.json) == (200, {"hello": "world"})
    assert answer.headers["content-type"] == "application/json"
    assert worker.invocations[0]["data"]["trigger"]["type"] == trigger_type


async def test_both_types_share_one_route_table(client: Client, worker: HttpWorker) -> None:
    worker.route("hello", ok("older"), trigger_type="http")
    worker.route("hello", ok("newer"), trigger_type="api")

    assert (await client.get("/hello")).json == "newer"


async def test_an_unknown_path_is_404_with_a_json_body(client: Client) -> None:
    answer = await client.get("/nothing/here")

    assert (answer.status, answer.json) == (404, NOT_FOUND)
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_another_method_is_405_and_names_the_right_ones(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("a", ok(), method="DELETE")
    worker.route("a", ok(), method="GET")

    answer = await client.post("/a", {})

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, DELETE"
    assert answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND"])
async def test_methods_that_no_route_can_have_are_405(
    client: Client, worker: HttpWorker, method: str
) -> None:
    worker.route("a", ok())

    assert (await client.request(method, "/a")).status == 405


async def test_the_query_is_no_part_of_the_path(client: Client, worker: HttpWorker) -> None:
    worker.route("a", ok())

    assert (await client.get("/a?b=/c")).status == 200


@pytest.mark.parametrize("first", ["users/me", "users/:id"])
async def test_a_literal_beats_a_parameter_whichever_was_registered_first(
    client: Client, worker: HttpWorker, first: str
) -> None:
    second = "users/:id" if first == "users/me" else "users/me"
    for path in (first, second):
        worker.route(path, ok(path))

    assert (await client.get("/users/me")).json == "users/me"
    assert (await client.get("/users/you")).json == "users/:id"


async def test_a_leading_slash_makes_no_difference(client: Client, worker: HttpWorker) -> None:
    worker.route("/users", ok("older"))
    newer = worker.route("users", ok("newer"))
    assert (await client.get("/users")).json == "newer"

    worker.unregister(newer)

    assert (await client.get("/users")).json == "older"


async def test_the_root_can_be_a_route(client: Client, worker: HttpWorker) -> None:
    worker.route("/", ok("root"))

    assert (await client.get("/")).json == "root"


async def test_methods_are_read_in_any_case(client: Client, worker: HttpWorker) -> None:
    worker.route("a", ok(), method="get")

    assert (await client.get("/a")).status == 200


async def test_an_unregistered_route_is_404_until_it_is_registered_again(
    client: Client, worker: HttpWorker
) -> None:
    route = worker.route("a", ok(1))
    assert (await client.get("/a")).status == 200

    worker.unregister(route)
    assert (await client.get("/a")).status == 404

    worker.route("a", ok(2))
    assert (await client.get("/a")).json == 2


async def test_the_routes_of_a_worker_go_with_it(setting: Setting) -> None:
    setting.worker.route("a", ok())
    setting.worker.leave()

    assert (await setting.client.get("/a")).status == 404


async def test_the_newest_owner_of_a_route_serves(setting: Setting) -> None:
    older, newer = setting.worker, setting.connect()
    older.route("a/:x", lambda call: {"body": ["older", call["path_params"]]})
    newer.route("a/:y", lambda call: {"body": ["newer", call["path_params"]]})
    assert (await setting.client.get("/a/1")).json == ["newer", {"y": "1"}]

    newer.leave()

    assert (await setting.client.get("/a/1")).json == ["older", {"x": "1"}]


async def test_the_newer_owner_stays_when_the_older_one_unregisters(
    client: Client, worker: HttpWorker
) -> None:
    older = worker.route("a", ok("older"))
    worker.route("a", ok("newer"))

    worker.unregister(older)

    assert (await client.get("/a")).json == "newer"


async def test_the_same_trigger_id_replaces_its_route(client: Client, worker: HttpWorker) -> None:
    worker.serve("f", ok())
    worker.trigger("t", "http", "f", config={"api_path": "old"})
    worker.trigger("t", "http", "f", config={"api_path": "new"})

    assert (await client.get("/old")).status == 404
    assert (await client.get("/new")).status == 200
    worker.unregister("t")
    assert (await client.get("/new")).status == 404


async def test_two_triggers_of_one_function_are_two_routes(
    client: Client, worker: HttpWorker
) -> None:
    worker.serve("f", lambda call: {"body": call["path"]})
    for path in ("one", "two"):
        worker.trigger(path, "http", "f", config={"api_path": path})

    assert [(await client.get(f"/{path}")).json for path in ("one", "two")] == ["one", "two"]


async def test_a_running_request_keeps_a_route_that_goes(
    client: Client, worker: HttpWorker
) -> None:
    route = worker.route("a", hold)
    running = asyncio.create_task(client.get("/a"))
    await until(lambda: bool(worker.held))

    worker.unregister(route)
    worker.result(worker.held[0], {"body": "done"})

    assert (await running).json == "done"
    assert (await client.get("/a")).status == 404


async def test_a_route_without_an_api_path_is_refused(client: Client, worker: HttpWorker) -> None:
    worker.take()
    worker.trigger("t", "http", "f", config={"http_method": "GET"})

    (refusal,) = worker.take()

    assert refusal["type"] == "triggerregistrationresult"
    assert refusal["id"] == "t"
    assert refusal["error"]["code"] == "trigger_registration_failed"
    assert "api_path" in refusal["error"]["message"]


@pytest.mark.parametrize("path", ["files/*rest", "a/:/b", "*"])
async def test_a_bad_path_is_refused_and_harms_nobody(
    client: Client, worker: HttpWorker, path: str
) -> None:
    worker.take()
    worker.trigger("t", "http", "f", config={"api_path": path})
    (refusal,) = worker.take()
    worker.route("after", ok())

    assert path in json.dumps(refusal["error"]["message"])
    assert (await client.get("/after")).status == 200


async def test_the_trailing_slash_counts(client: Client, worker: HttpWorker) -> None:
    worker.route("a", ok())

    assert (await client.get("/a/")).status == 404


async def test_the_trailing_slash_can_be_ignored(start: Start) -> None:
    setting = await start(ignore_trailing_slash=True)
    setting.worker.route("a/", ok())

    assert (await setting.client.get("/a")).status == 200
    assert (await setting.client.get("/a/")).status == 200


async def test_health_is_built_in(client: Client) -> None:
    answer = await client.get("/health")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["status"] == "healthy"


async def test_a_registered_health_route_takes_precedence_while_it_lives(
    client: Client, worker: HttpWorker
) -> None:
    worker.route(":anything", ok("not this"))
    route = worker.route("health", ok("mine"))
    assert (await client.get("/health")).json == "mine"

    worker.unregister(route)

    assert (await client.get("/health")).json["status"] == "healthy"


async def test_another_function_can_answer_where_nothing_matches(start: Start) -> None:
    setting = await start(not_found_function="pages::missing")
    setting.worker.serve("pages::missing", lambda call: {"body": call["request_path"]})

    answer = await setting.client.get("/lost/page")

    assert (answer.status, answer.json) == (404, "/lost/page")


async def test_the_not_found_function_may_choose_the_status(start: Start) -> None:
    setting = await start(not_found_function="pages::missing")
    setting.worker.serve("pages::missing", lambda _: {"status_code": 302, "body": None})

    assert (await setting.client.get("/lost")).status == 302


async def test_a_missing_not_found_function_is_a_plain_404(start: Start) -> None:
    setting = await start(not_found_function="pages::missing")

    answer = await setting.client.get("/lost")

    assert (answer.status, answer.json) == (404, NOT_FOUND)


async def test_a_head_request_runs_the_get_handler_without_its_body(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("a", ok({"a": 1}))

    answer = await client.request("HEAD", "/a")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(b'{"a":1}'))
    assert worker.invocations[0]["data"]["method"] == "HEAD"


async def test_a_head_route_of_its_own_is_preferred(client: Client, worker: HttpWorker) -> None:
    worker.route("a", ok())
    worker.route("a", lambda _: {"status_code": 202, "body": "dropped"}, method="HEAD")

    answer = await client.request("HEAD", "/a")

    assert (answer.status, answer.body) == (202, b"")
