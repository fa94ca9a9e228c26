"""From triggers to routes."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from engine.core.errors import TriggerRegistrationFailed
from engine.core.triggers import Trigger
from engine.modules.api.routes import FunctionRoute, RouteTable
from engine.modules.api.trigger import HttpTriggerType


def trigger(config: Any, **members: Any) -> Trigger:
    return Trigger("t1", "http", "shop::list", json.dumps(config).encode(), **members)


@pytest.fixture
def routes() -> RouteTable:
    return RouteTable()


@pytest.fixture
def http(routes: RouteTable) -> HttpTriggerType:
    return HttpTriggerType(routes)


def route_of(routes: RouteTable, path: str, method: str = "GET") -> FunctionRoute | None:
    found = routes.find(path)
    route = None if found is None else found[0].serving.get(method)
    assert route is None or isinstance(route, FunctionRoute)
    return route


def test_a_trigger_is_a_route_until_it_is_removed(
    http: HttpTriggerType, routes: RouteTable
) -> None:
    listing = trigger({"api_path": "/shop"})

    http.add(listing)
    route = route_of(routes, "shop")
    assert route is not None
    assert route.trigger is listing

    http.remove(listing)
    assert route_of(routes, "shop") is None


def test_a_method_is_read_in_any_case(http: HttpTriggerType, routes: RouteTable) -> None:
    http.add(trigger({"api_path": "shop", "http_method": "post"}))

    assert route_of(routes, "shop", "POST") is not None
    assert route_of(routes, "shop") is None


def test_an_unknown_method_makes_no_route_and_a_warning(
    http: HttpTriggerType, routes: RouteTable, caplog: pytest.LogCaptureFixture
) -> None:
    odd = trigger({"api_path": "shop", "http_method": "BREW"})

    with caplog.at_level(logging.WARNING):
        http.add(odd)
    http.remove(odd)

    assert routes.find("shop") is None
    assert "http_method does not exist" in caplog.text


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (None, "api_path"),
        ([], "object"),
        ({}, "api_path"),
        ({"api_path": None}, "api_path"),
        ({"api_path": 5}, "api_path"),
        ({"api_path": "a", "http_method": 5}, "http_method"),
        ({"api_path": "a", "condition_function_id": 5}, "condition_function_id"),
        ({"api_path": "a", "_condition_path": 5}, "_condition_path"),
        ({"api_path": "a", "middleware_function_ids": "m"}, "middleware_function_ids"),
        ({"api_path": "a", "middleware_function_ids": [1]}, "middleware_function_ids"),
        ({"api_path": "a", "parse_body": "yes"}, "parse_body"),
        ({"api_path": "files/*rest"}, "'*rest'"),
        ({"api_path": "a/:"}, "':'"),
    ],
)
def test_a_bad_config_is_refused_with_the_name_of_its_field(
    http: HttpTriggerType, routes: RouteTable, config: Any, named: str
) -> None:
    with pytest.raises(TriggerRegistrationFailed) as refusal:
        http.add(trigger(config))

    assert named in refusal.value.message
    assert routes.find("a") is None


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
def test_a_condition_is_found_where_the_owner_would_find_it(
    http: HttpTriggerType, routes: RouteTable, key: str
) -> None:
    http.add(trigger({"api_path": "a", key: "shop::is_open"}, namespace="eu", metadata=b"{}"))

    route = route_of(routes, "a")
    assert route is not None
    assert route.condition is not None
    assert (route.condition.function_id, route.condition.namespace) == ("shop::is_open", "eu")
    assert route.condition.metadata is None


def test_nulls_and_unknown_members_are_ignored(http: HttpTriggerType, routes: RouteTable) -> None:
    http.add(
        trigger(
            {
                "api_path": "a",
                "http_method": None,
                "condition_function_id": None,
                "_condition_path": None,
                "middleware_function_ids": None,
                "parse_body": None,
                "description": "a list",
                "metadata": {"team": "shop"},
                "odd": 1,
            }
        )
    )

    route = route_of(routes, "a")
    assert route is not None
    assert not route.is_guarded


def test_middleware_keeps_its_order(http: HttpTriggerType, routes: RouteTable) -> None:
    http.add(trigger({"api_path": "a", "middleware_function_ids": ["one", "two"]}))

    route = route_of(routes, "a")
    assert route is not None
    assert [each.function_id for each in route.middleware] == ["one", "two"]


def test_the_formats_are_json_schemas() -> None:
    assert json.loads(HttpTriggerType.trigger_request_format)["required"] == ["api_path"]
    assert "path_params" in json.loads(HttpTriggerType.call_request_format)["properties"]
