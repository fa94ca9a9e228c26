"""The route table, alone and against a search through all routes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.modules.api.path import PathPattern
from engine.modules.api.routes import BuiltinRoute, Route, RouteTable


def route(path: str, method: str = "GET") -> Route:
    return Route(method, PathPattern.parse(path))


def table_of(*routes: Route) -> RouteTable:
    table = RouteTable()
    for each in routes:
        table.add(each)
    return table


def serving(table: RouteTable, path: str, method: str = "GET") -> Route | None:
    found = table.find(path)
    return None if found is None else found[0].serving.get(method)


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("", "", []),
        ("users", "users", []),
        ("users/:id", "users/42", ["42"]),
        ("users/:id", "users/a%20b", ["a%20b"]),
        (":a/:b", "1/2", ["1", "2"]),
        ("two words", "two%20words", []),
        ("grüße", "gr%C3%BC%C3%9Fe", []),
        ("grüße", "gr%c3%bc%c3%9fe", []),
        ("two%20words", "two%20words", []),
        ("100%", "100%25", []),
        ("a%2Fb", "a%2Fb", []),
        ("/a", "a", []),
        ("a//b", "a//b", []),
    ],
)
def test_a_path_reaches_its_route(pattern: str, path: str, values: list[str]) -> None:
    wanted = route(pattern)

    found = table_of(wanted).find(path)

    assert found is not None
    assert found[0].serving["GET"] is wanted
    assert list(found[1]) == values


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("users", "Users"),
        ("users", "users/"),
        ("users/", "users"),
        ("users/:id", "users/"),
        ("users/:id", "users/1/2"),
        (":id", ""),
        ("a/b", "a//b"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a", ""),
    ],
)
def test_another_path_does_not(pattern: str, path: str) -> None:
    assert table_of(route(pattern)).find(path) is None


@pytest.mark.parametrize("reverse", [False, True])
def test_a_literal_beats_a_parameter_whichever_came_first(reverse: bool) -> None:
    literal, parameter = route("users/me"), route("users/:id")
    routes = [parameter, literal] if reverse else [literal, parameter]

    table = table_of(*routes)

    assert serving(table, "users/me") is literal
    assert serving(table, "users/you") is parameter


def test_the_search_goes_back_to_a_parameter_where_a_literal_leads_nowhere() -> None:
    wanted = route("lit/:id/y")

    table = table_of(route("lit/me/x"), wanted)

    found = table.find("lit/me/y")
    assert found is not None
    assert found[0].serving["GET"] is wanted
    assert list(found[1]) == ["me"]


def test_equal_shapes_with_other_names_are_one_route_with_two_owners() -> None:
    older, newer = route("a/:x"), route("a/:y")
    table = table_of(older, newer)

    assert serving(table, "a/1") is newer
    table.remove(newer)
    assert serving(table, "a/1") is older


def test_removing_the_older_owner_leaves_the_newer_one() -> None:
    older, newer = route("a"), route("/a")
    table = table_of(older, newer)

    table.remove(older)

    assert serving(table, "a") is newer


def test_a_path_without_owners_is_gone() -> None:
    first, second = route("a/:x/c"), route("a/b", "POST")
    table = table_of(first, second)

    table.remove(first)
    table.remove(second)

    assert table.find("a/1/c") is None
    assert table.find("a/b") is None


def test_a_removed_route_leaves_its_neighbours() -> None:
    long, short = route("a/b/c"), route("a/b")
    table = table_of(long, short)

    table.remove(long)

    assert serving(table, "a/b") is short
    assert table.find("a/b/c") is None


def test_allow_names_the_methods_in_a_fixed_order_and_head_beside_get() -> None:
    table = table_of(*(route("a", method) for method in ("OPTIONS", "DELETE", "POST", "GET")))

    found = table.find("a")

    assert found is not None
    assert found[0].allow == b"GET, HEAD, POST, DELETE, OPTIONS"


def test_get_stands_in_for_a_missing_head() -> None:
    get, head = route("a"), route("a", "HEAD")
    table = table_of(get)
    assert serving(table, "a", "HEAD") is get

    table.add(head)
    assert serving(table, "a", "HEAD") is head

    table.remove(head)
    assert serving(table, "a", "HEAD") is get


def test_a_builtin_route_comes_back_after_a_registered_one() -> None:
    pattern = PathPattern.parse("health")
    builtin = BuiltinRoute("GET", pattern, lambda: b"{}")
    own = route("/health")
    table = table_of(builtin, own)
    assert serving(table, "health") is own

    table.remove(own)

    assert serving(table, "health") is builtin


@pytest.mark.parametrize("pattern", ["a", "a/"])
@pytest.mark.parametrize("path", ["a", "a/"])
def test_a_trailing_slash_can_be_ignored(pattern: str, path: str) -> None:
    table = RouteTable(ignore_trailing_slash=True)
    wanted = route(pattern)
    table.add(wanted)

    assert serving(table, path) is wanted
    table.remove(wanted)
    assert table.find(path) is None


def test_the_root_is_found_where_trailing_slashes_are_ignored() -> None:
    table = RouteTable(ignore_trailing_slash=True)
    root = route("/")
    table.add(root)

    assert serving(table, "") is root


patterns = st.lists(st.sampled_from(["a", "b", ":x", ":y", "{z}", ""]), min_size=1, max_size=4)
paths = st.lists(st.sampled_from(["a", "b", "c", "", "%61"]), min_size=1, max_size=4)


def search_all(routes: Sequence[Route], path: str) -> tuple[Route, list[str]] | None:
    """The rule, word for word: literals before parameters from left to right, newest owner."""
    segments = path.split("/")
    keys = [segment.replace("%61", "a") for segment in segments]
    matching = [
        each
        for each in routes
        if len(each.pattern.segments) == len(keys)
        and all(
            literal == key if literal is not None else key != ""
            for literal, key in zip(each.pattern.segments, keys, strict=True)
        )
    ]
    if not matching:
        return None
    best = min(tuple(part is None for part in each.pattern.segments) for each in matching)
    newest = [
        each for each in matching if tuple(part is None for part in each.pattern.segments) == best
    ][-1]
    values = [
        segment
        for part, segment in zip(newest.pattern.segments, segments, strict=True)
        if part is None
    ]
    return newest, values


@given(
    st.lists(patterns.map(lambda parts: "/" + "/".join(parts)), max_size=12),
    st.sets(st.integers(0, 11)),
    st.lists(paths.map("/".join), min_size=1, max_size=8),
)
def test_the_tree_finds_what_a_search_through_all_routes_finds(
    texts: list[str], removed: set[int], requests: list[str]
) -> None:
    routes = [route(text) for text in texts]
    table = table_of(*routes)
    for index in removed:
        if index < len(routes):
            table.remove(routes[index])
    left = [each for index, each in enumerate(routes) if index not in removed]

    for path in requests:
        found = table.find(path)
        wanted = search_all(left, path)
        if wanted is None:
            assert found is None
        else:
            assert found is not None
            assert found[0].serving["GET"] is wanted[0]
            assert list(found[1]) == wanted[1]
