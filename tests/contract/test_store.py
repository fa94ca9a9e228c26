"""What every store owes, on memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from django.db import models

from kv.entries import (
    Change,
    Changed,
    DeleteEntry,
    Entry,
    SetValue,
    UpdateValue,
    VersionConflict,
)
from kv.models import StateEntry
from kv.stores.base import Items, Key, Store, Unknown
from kv.stores.database import Database
from kv.stores.memory import MemoryStore
from kv.update_ops import parse_ops
from streams.models import StreamItem


@asynccontextmanager
async def opened(
    place: tuple[str, str], name: str, model: type[models.Model], columns: tuple[str, ...]
) -> AsyncIterator[Store]:
    kind, alias = place
    if kind == "memory":
        yield MemoryStore(name)
        return
    database = Database.open(is_sqlite=kind == "sqlite", description=kind, alias=alias)
    database.start()
    found = database.entries(name, model, columns)
    await found.start()
    yield found
    await database.stop()


@pytest_asyncio.fixture
async def store(place: tuple[str, str]) -> AsyncIterator[Store]:
    async with opened(place, "state", StateEntry, ("scope", "key")) as found:
        yield found


@pytest_asyncio.fixture
async def items(place: tuple[str, str]) -> AsyncIterator[Store]:
    """A store whose keys have three names."""
    columns = ("stream_name", "group_id", "item_id")
    async with opened(place, "stream", StreamItem, columns) as found:
        yield found


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000
        for module in ("memory", "database", "executor"):
            monkeypatch.setattr(f"kv.stores.{module}.now_ms", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def change(store: Store, key: str, change: Change, group: str = "g") -> Changed:
    return await store.change((group, key), change, lambda changed: changed)


async def put(store: Store, key: str, value: bytes, group: str = "g") -> Changed:
    return await change(store, key, SetValue(value), group)


async def get(store: Store, key: str, group: str = "g") -> Entry | None:
    """Read by `get`, and see that `peek` says nothing else."""
    entry = await store.get((group, key), lambda found: found)
    at_hand = store.peek((group, key))
    assert isinstance(at_hand, Unknown) or at_hand == entry
    return entry


async def value(store: Store, key: str, group: str = "g") -> bytes | None:
    entry = await get(store, key, group)
    return None if entry is None else entry.value


def update(ops: str, **rest: int) -> UpdateValue:
    return UpdateValue(parse_ops(ops.encode()), **rest)


async def test_a_key_without_an_entry_has_none(store: Store) -> None:
    assert await get(store, "k") is None
    assert await store.list(("g",)) == []
    assert await store.groups() == []


async def test_a_value_is_kept_as_it_was_sent(store: Store) -> None:
    text = '{"b":1.0, "a" : 1e5,"a":12345678901234567890, "t":"\\u0000 \u00e9 \\ud800"}'.encode()
    changed = await put(store, "k", text)
    assert (changed.old, changed.new and changed.new.value) == (None, text)
    assert await value(store, "k") == text


async def test_a_second_value_takes_the_place_of_the_first(store: Store) -> None:
    await put(store, "k", b"1")
    changed = await put(store, "k", b"null")
    assert changed.old is not None
    assert changed.new is not None
    assert (changed.old.value, changed.new.value) == (b"1", b"null")
    assert await value(store, "k") == b"null"


async def test_groups_do_not_see_each_other(store: Store) -> None:
    await put(store, "k", b"1", "one")
    await put(store, "k", b"2", "two")
    assert (await value(store, "k", "one"), await value(store, "k", "two")) == (b"1", b"2")
    assert await store.groups() == [("one",), ("two",)]


async def test_what_is_deleted_is_gone_with_its_group(store: Store) -> None:
    await put(store, "k", b"1")
    changed = await change(store, "k", DeleteEntry())
    assert changed.old is not None
    assert (changed.old.value, changed.new) == (b"1", None)
    assert await get(store, "k") is None
    assert await store.groups() == []
    assert (await change(store, "k", DeleteEntry())).old is None


async def test_entries_are_listed_in_the_order_of_insertion(store: Store) -> None:
    for key in ("b", "a", "c"):
        await put(store, key, f'"{key}"'.encode())
    await put(store, "b", b'"again"')
    assert [item.value for item in await store.list(("g",))] == [b'"again"', b'"a"', b'"c"']
    await change(store, "b", DeleteEntry())
    await put(store, "b", b'"new"')
    assert [item.name for item in await store.list(("g",))] == ["a", "c", "b"]


async def test_a_key_that_is_deleted_and_put_at_once_is_a_new_one(store: Store) -> None:
    await put(store, "a", b"1")
    await put(store, "b", b"2")
    await asyncio.gather(change(store, "a", DeleteEntry()), put(store, "a", b"3"))
    assert [item.name for item in await store.list(("g",))] == ["b", "a"]


async def test_pages_follow_each_other(store: Store) -> None:
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        await put(store, key, b"1")
    seen: list[str] = []
    after = 0
    while page := await store.list(("g",), after=after, limit=3):
        assert len(page) <= 3
        seen += [item.name for item in page]
        after = page[-1].position
    assert seen == keys


async def test_a_place_is_not_given_twice(store: Store) -> None:
    await put(store, "a", b"1")
    await put(store, "b", b"1")
    last = (await store.list(("g",)))[-1].position
    await change(store, "b", DeleteEntry())
    await put(store, "c", b"1")
    assert [item.name for item in await store.list(("g",), after=last)] == ["c"]


@pytest.mark.parametrize("count", [1, 3, 5, 63, 64, 257, 1_000])
async def test_any_number_of_entries_is_written_at_once(store: Store, count: int) -> None:
    numbers = range(count)
    await asyncio.gather(*[put(store, f"k{number}", b"%d" % number) for number in numbers])
    found = [(item.name, item.value) for item in await store.list(("g",))]
    assert found == [(f"k{number}", b"%d" % number) for number in numbers]


@pytest.mark.parametrize("count", [5, 300])
async def test_large_values_are_written_among_small_ones(store: Store, count: int) -> None:
    values = [b'"%b"' % (b"x" * (5_000 if number % 2 == 0 else 5)) for number in range(count)]
    for entries in (values, values[::-1]):
        await asyncio.gather(*[put(store, f"k{at}", each) for at, each in enumerate(entries)])
        assert [item.value for item in await store.list(("g",))] == entries


@pytest.mark.parametrize("count", [1, 5, 64, 257])
async def test_entries_that_are_there_are_written_among_new_ones(store: Store, count: int) -> None:
    old = [f"old{number}" for number in range(count)]
    new = [f"new{number}" for number in range(count)]
    for key in old:
        await put(store, key, b"1")

    mixed = [key for pair in zip(new, reversed(old), strict=True) for key in pair]
    await asyncio.gather(*[put(store, key, b"2") for key in mixed])
    await asyncio.gather(*[put(store, key, b"3") for key in new])

    found = [(item.name, item.value) for item in await store.list(("g",))]
    assert found == [(key, b"2") for key in old] + [(key, b"3") for key in new]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("user:", ["user:1", "user:2"]),
        ("User", ["User:3"]),
        ("", ["user:1", "item:1", "user:2", "User:3", "100%", "100_", "\U0010ffffx"]),
        ("100%", ["100%"]),
        ("\U0010ffff", ["\U0010ffffx"]),
        ("none", []),
    ],
)
async def test_a_prefix_is_taken_letter_for_letter(
    store: Store, prefix: str, found: list[str]
) -> None:
    for key in ("user:1", "item:1", "user:2", "User:3", "100%", "100_", "\U0010ffffx"):
        await put(store, key, b"1")
    assert [item.name for item in await store.list(("g",), prefix=prefix)] == found
    assert await store.names_with_prefix(prefix, None) == sorted(found)


async def test_keys_of_all_groups_or_of_one_are_named_once(store: Store) -> None:
    for group, key in (("one", "a1"), ("two", "a1"), ("two", "a2"), ("two", "b")):
        await put(store, key, b"1", group)
    assert await store.names_with_prefix("a", None) == ["a1", "a2"]
    assert await store.names_with_prefix("a", ("one",)) == ["a1"]
    assert await store.names_with_prefix("a", ("none",)) == []


async def test_an_update_is_atomic_however_many_come_at_once(store: Store) -> None:
    increment = update('[{"type":"increment","path":"n","by":1}]')
    await asyncio.gather(*(change(store, "k", increment) for _ in range(500)))
    assert await value(store, "k") == b'{"n":500}'


async def test_changes_of_one_key_are_answered_in_their_order(store: Store) -> None:
    order: list[int] = []

    def finish(changed: Changed) -> None:
        assert changed.new is not None
        order.append(int(changed.new.value))

    await asyncio.gather(
        *(store.change(("g", "k"), SetValue(b"%d" % number), finish) for number in range(50))
    )
    assert order == list(range(50))
    assert await value(store, "k") == b"49"


async def test_a_read_sees_what_was_answered_before_it(store: Store) -> None:
    for number in range(50):
        await put(store, "k", b"%d" % number)
        assert await value(store, "k") == b"%d" % number


async def test_versions_grow_and_are_never_used_twice(store: Store) -> None:
    versions = []
    for act in (SetValue(b"1"), SetValue(b"1"), update("[]"), DeleteEntry(), SetValue(b"1")):
        new = (await change(store, "k", act)).new
        if new is not None:
            versions.append(new.version)
    assert versions == sorted(set(versions))
    assert versions[0] > 0


@pytest.mark.parametrize("act", [SetValue(b"2"), update("[]"), DeleteEntry()])
async def test_a_change_for_another_version_changes_nothing(store: Store, act: Change) -> None:
    first = (await put(store, "k", b"1")).new
    assert first is not None
    for wrong in (0, first.version + 1):
        with pytest.raises(VersionConflict) as conflict:
            await change(store, "k", _for_version(act, wrong))
        assert (conflict.value.expected, conflict.value.actual) == (wrong, first.version)
    assert await get(store, "k") == first

    assert (await change(store, "k", _for_version(act, first.version))).old == first


async def test_version_0_means_that_there_is_no_entry(store: Store) -> None:
    created = SetValue(b"1", if_version=0)
    answers = await asyncio.gather(
        *(change(store, "k", created) for _ in range(5)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Changed] + [VersionConflict] * 4


async def test_a_failed_change_does_not_harm_its_neighbours(store: Store) -> None:
    bad = SetValue(b"1", if_version=77)
    answers = await asyncio.gather(
        put(store, "a", b"1"),
        change(store, "a", bad),
        put(store, "b", b"2"),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Changed, VersionConflict, Changed]
    assert (await value(store, "a"), await value(store, "b")) == (b"1", b"2")


async def test_an_expired_entry_is_never_seen(store: Store, clock: Clock) -> None:
    await change(store, "k", SetValue(b"1", ttl_ms=100))
    clock.now += 99
    assert await value(store, "k") == b"1"
    clock.now += 1
    assert await get(store, "k") is None
    assert await store.list(("g",)) == []
    assert await store.groups() == []
    assert await store.names_with_prefix("", None) == []
    assert (await change(store, "k", SetValue(b"2", if_version=0))).old is None


async def test_set_clears_a_time_to_live_and_update_keeps_it(store: Store, clock: Clock) -> None:
    await change(store, "a", SetValue(b"{}", ttl_ms=100))
    await change(store, "b", SetValue(b"{}", ttl_ms=100))
    await change(store, "a", SetValue(b"{}"))
    await change(store, "b", update('[{"type":"set","path":"x","value":1}]'))
    clock.now += 100
    assert (await value(store, "a"), await get(store, "b")) == (b"{}", None)


async def test_the_sweep_takes_expired_entries_and_tells_of_each(
    store: Store, clock: Clock
) -> None:
    for key, ttl_ms in (("a", 10), ("b", 20), ("c", 30)):
        await change(store, key, SetValue(f'"{key}"'.encode(), ttl_ms=ttl_ms))
    await put(store, "d", b"1")
    assert await store.next_expiry() == clock.now + 10
    clock.now += 20
    gone: list[tuple[Key, bytes | None, Entry | None]] = []

    def tell(key: Key, changed: Changed) -> None:
        gone.append((key, changed.old.value if changed.old else None, changed.new))

    assert await store.sweep(tell) == 2
    assert sorted(gone) == [(("g", "a"), b'"a"', None), (("g", "b"), b'"b"', None)]
    assert await store.sweep(tell) == 0
    assert await store.next_expiry() == clock.now + 10
    assert [item.name for item in await store.list(("g",))] == ["c", "d"]


async def test_one_sweep_takes_no_more_than_its_size(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "database"):
        monkeypatch.setattr(f"kv.stores.{module}.SWEEP_SIZE", 2)
    await asyncio.gather(
        *(change(store, f"k{each}", SetValue(b"1", ttl_ms=1)) for each in range(5))
    )
    clock.now += 1
    assert [await store.sweep(lambda *_: None) for _ in range(4)] == [2, 2, 1, 0]


async def test_an_entry_that_was_written_again_is_not_swept(store: Store, clock: Clock) -> None:
    await change(store, "k", SetValue(b"1", ttl_ms=1))
    clock.now += 1
    swept, _ = await asyncio.gather(store.sweep(lambda *_: None), put(store, "k", b"2"))
    assert swept in {0, 1}
    assert await value(store, "k") == b"2"


async def test_keys_may_have_three_names(items: Store) -> None:
    keys = [("s", "g", "b"), ("s", "g", "a"), ("s", "h", "a"), ("s:g", "", "a"), ("t", "g", "a")]
    for number, key in enumerate(keys):
        await items.change(key, SetValue(b"%d" % number), lambda changed: changed)
    entry = await items.get(keys[1], lambda found: found)
    assert entry is not None
    assert entry.value == b"1"
    assert await items.get(("s", "h", "b"), lambda found: found) is None
    assert [item.name for item in await items.list(("s", "g"))] == ["b", "a"]
    assert [item.name for item in await items.list(("s", "g"), prefix="a")] == ["a"]
    assert await items.groups() == [("s", "g"), ("s", "h"), ("s:g", ""), ("t", "g")]
    assert await items.groups(("s",)) == [("s", "g"), ("s", "h")]
    assert await items.groups(("none",)) == []
    assert await items.names_with_prefix("", ("s", "g")) == ["a", "b"]
    changed = await items.change(keys[0], DeleteEntry(), lambda changed: changed)
    assert changed.old is not None
    await items.change(keys[1], SetValue(b"1", ttl_ms=1), lambda changed: changed)
    assert [item.value for item in await items.list(("s", "h"))] == [b"2"]


class Told:
    """What the finishers of changes have been told, and what reads in their turn have shown."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.seen: list[tuple[dict[str, bytes], dict[str, bytes]]] = []

    def of(self, key: str) -> Callable[[Changed], None]:
        """Return the finisher of a change."""

        def finish(changed: Changed) -> None:
            if changed.new is None:
                self.values.pop(key, None)
            else:
                self.values[key] = changed.new.value

        return finish

    def compare_all(self, found: Items) -> None:
        self.seen.append(({item.name: item.value for item in found}, dict(self.values)))

    def compare_one(self, found: Entry | None) -> None:
        told = {name: value for name, value in self.values.items() if name == "k3"}
        self.seen.append(({} if found is None else {"k3": found.value}, told))


async def test_a_read_in_its_turn_shows_what_was_told_and_nothing_else(store: Store) -> None:
    told = Told()
    outcomes: list[Awaitable[None]] = []
    for number in range(300):
        key = f"k{number % 7}"
        change = DeleteEntry() if number % 5 == 0 else SetValue(b"%d" % number)
        outcomes.append(store.change(("g", key), change, told.of(key)))
        if number % 3 == 0:
            outcomes.append(store.list_in_turn(("g",), told.compare_all))
            outcomes.append(store.get_in_turn(("g", "k3"), told.compare_one))
        if number % 40 == 0:
            await asyncio.sleep(0)
    for outcome in outcomes:
        await outcome
    assert len(told.seen) == 200
    for shown, at_that_time in told.seen:
        assert shown == at_that_time


def _for_version(act: Change, version: int) -> Change:
    if isinstance(act, SetValue):
        return SetValue(act.value, if_version=version)
    if isinstance(act, UpdateValue):
        return UpdateValue(act.ops, if_version=version)
    return DeleteEntry(if_version=version)
