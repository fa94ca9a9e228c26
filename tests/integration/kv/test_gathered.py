"""Changes that share commits, and work that is done in several, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from django.db import DataError

from engine.core.deferred import Deferred
from engine.core.errors import EngineError
from kv.stores.connection import StoreConnection
from kv.stores.database import Database
from kv.stores.executor import Executor, StoreError, StoreUnavailable
from kv.stores.gathered import CHANGES_AT_ONCE, GatheredChanges
from kv.stores.steps import in_steps


@pytest_asyncio.fixture
async def writer(sqlite_alias: str) -> AsyncIterator[Executor]:
    database = Database.open(is_sqlite=True, description="test", alias=sqlite_alias)
    database.start()
    yield database.writer
    await database.stop()


class Doubling:
    """What doubles numbers, and remembers which it was given together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, connection: StoreConnection, numbers: Sequence[int]) -> list[object]:
        self.batches.append(list(numbers))
        if 13 in numbers:
            raise DataError("not 13")
        return [EngineError("not 7") if number == 7 else 2 * number for number in numbers]


async def outcomes(made: Sequence[Deferred[int]]) -> list[int | str]:
    found: list[int | str] = []
    for each in made:
        try:
            found.append(await each)
        except EngineError as error:
            found.append(type(error).__name__)
    return found


async def test_changes_of_a_moment_share_commits_of_a_limited_size(writer: Executor) -> None:
    make = Doubling()
    changes = GatheredChanges(writer, make)
    number = CHANGES_AT_ONCE + 50
    assert await outcomes([changes.add(100 + each) for each in range(number)]) == [
        2 * (100 + each) for each in range(number)
    ]
    assert [len(batch) for batch in make.batches] == [CHANGES_AT_ONCE, 50]
    assert await changes.add(4) == 8
    assert make.batches[2] == [4]


async def test_a_change_that_says_so_fails_alone_in_its_commit(writer: Executor) -> None:
    make = Doubling()
    changes = GatheredChanges(writer, make)
    assert await outcomes([changes.add(each) for each in (6, 7, 8)]) == [12, "EngineError", 16]
    assert len(make.batches) == 1


async def test_a_change_that_the_database_refuses_takes_no_other_along(writer: Executor) -> None:
    make = Doubling()
    changes = GatheredChanges(writer, make)
    assert await outcomes([changes.add(each) for each in (12, 13, 14)]) == [24, "StoreError", 28]
    assert make.batches == [[12, 13, 14], [12], [13], [14]]


async def test_all_of_a_commit_fail_when_the_database_is_away(writer: Executor) -> None:
    def make(connection: StoreConnection, numbers: Sequence[int]) -> list[int]:
        raise StoreUnavailable("away")

    changes = GatheredChanges(writer, make)
    found = await outcomes([changes.add(each) for each in (1, 2)])
    assert found == ["StoreUnavailable", "StoreUnavailable"]


async def test_each_step_is_repeated_as_long_as_there_is_more(writer: Executor) -> None:
    done: list[str] = []

    def first(_: StoreConnection) -> bool:
        done.append("first")
        return len(done) < 3

    def second(_: StoreConnection) -> bool:
        done.append("second")
        return False

    assert await in_steps(writer, [first, second], lambda: len(done)) == 4
    assert done == ["first", "first", "first", "second"]


async def test_a_step_that_fails_is_the_last_one(writer: Executor) -> None:
    def fail(_: StoreConnection) -> bool:
        raise DataError("no")

    def never(_: StoreConnection) -> bool:
        raise AssertionError

    with pytest.raises(StoreError, match="no"):
        await in_steps(writer, [fail, never], lambda: None)
