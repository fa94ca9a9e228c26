"""Which functions of workers stand for the store of a stream."""

from __future__ import annotations

import pytest

from streams.overrides import Overrides
from tests.fakes import FakeWorker, make_engine


async def overrides(*ids: str) -> Overrides:
    engine = make_engine()
    await engine.start()
    worker = FakeWorker(engine)
    for function_id in ids:
        worker.function(function_id)
    return Overrides(engine)


@pytest.mark.parametrize(
    ("function_id", "operation", "stream_name"),
    [
        ("stream::get(todo)", "get", "todo"),
        ("stream.set(todo)", "set", "todo"),
        ("streams.list(todo)", "list", "todo"),
        ("stream::update(todo)", "update", "todo"),
        ("streams.listGroups(todo)", "list_groups", "todo"),
        ("streams.getGroup(todo)", "list", "todo"),
        ("stream::delete(a(b)::c)", "delete", "a(b)::c"),
    ],
)
async def test_the_spellings_of_an_override(
    function_id: str, operation: str, stream_name: str
) -> None:
    found = await overrides(function_id)
    assert found.find(operation, stream_name) == function_id
    assert found.find(operation, "other") is None


@pytest.mark.parametrize("function_id", ["stream::get(todos)", "todo::get", "todo.get"])
async def test_what_is_no_override(function_id: str) -> None:
    assert (await overrides(function_id)).find("get", "todo") is None


@pytest.mark.parametrize("separator", ["::", "."])
async def test_the_whole_set_of_a_plain_name_is_an_override(separator: str) -> None:
    names = ["get", "set", "delete", "getGroup", "list_groups"]
    found = await overrides(*[f"todo{separator}{name}" for name in names])
    assert found.find("set", "todo") == f"todo{separator}set"
    assert found.find("list", "todo") == f"todo{separator}getGroup"
    assert found.find("update", "todo") is None


async def test_a_stream_of_the_name_of_a_built_in_service_is_the_stores() -> None:
    assert (await overrides()).find("list", "engine::functions") is None
