"""What browsers get: preflights, OPTIONS, cross-origin headers."""

from __future__ import annotations

import pytest

from tests.integration.engine.modules.api.conftest import Start
from tests.integration.engine.modules.api.support import Client, HttpWorker, ok

VARY = "origin, access-control-request-method, access-control-request-headers"
PREFLIGHT = {"origin": "http://a", "access-control-request-method": "POST"}


@pytest.mark.parametrize("path", ["/known", "/unknown"])
async def test_a_preflight_is_answered_for_any_path(
    client: Client, worker: HttpWorker, path: str
) -> None:
    worker.route("known", ok(), method="POST")
    worker.route("known", ok(), method="OPTIONS")

    answer = await client.request("OPTIONS", path, PREFLIGHT)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "*"
    assert answer.headers["access-control-allow-headers"] == "*"
    assert answer.headers["vary"] == VARY
    assert worker.invocations == []


async def test_options_of_a_known_path_names_its_methods(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("known", ok(), method="POST")

    answer = await client.request("OPTIONS", "/known")

    assert (answer.status, answer.headers["allow"]) == (200, "POST")
    assert answer.headers["access-control-allow-methods"] == "*"


async def test_an_options_route_serves_what_is_no_preflight(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("known", ok("mine"), method="OPTIONS")

    assert (await client.request("OPTIONS", "/known", {"origin": "http://a"})).json == "mine"


async def test_every_answer_permits_every_origin_by_default(
    client: Client, worker: HttpWorker
) -> None:
    worker.route("a", ok())

    for path in ("/a", "/unknown"):
        headers = (await client.get(path)).headers
        assert headers["access-control-allow-origin"] == "*"
        assert headers["access-control-expose-headers"] == "*"
        assert headers["vary"] == VARY


async def test_an_origin_that_is_not_listed_is_served_without_permission(start: Start) -> None:
    setting = await start(cors={"allowed_origins": ["http://a"]})
    setting.worker.route("x", ok("served"))

    stranger = await setting.client.get("/x", {"origin": "http://b"})
    friend = await setting.client.get("/x", {"origin": "http://a"})

    assert (stranger.status, stranger.json) == (200, "served")
    assert "access-control-allow-origin" not in stranger.headers
    assert friend.headers["access-control-allow-origin"] == "http://a"
    assert "access-control-expose-headers" not in friend.headers


async def test_a_preflight_of_an_origin_that_is_not_listed_lacks_the_permission_only(
    start: Start,
) -> None:
    setting = await start(
        cors={"allowed_origins": ["http://b"], "allowed_methods": ["GET", "POST"]}
    )

    answer = await setting.client.request("OPTIONS", "/x", PREFLIGHT)

    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["access-control-allow-methods"] == "GET,POST"
    assert answer.headers["access-control-allow-headers"] == "*"


async def test_a_function_cannot_widen_what_the_config_allows(
    client: Client, worker: HttpWorker
) -> None:
    own = {"Access-Control-Allow-Origin": "http://x", "Vary": "accept"}
    worker.route("a", lambda _: {"headers": own, "body": {}})

    answer = await client.get("/a")

    assert answer.all("access-control-allow-origin") == ["*"]
    assert answer.all("vary") == ["accept", VARY]
