"""The rows of a database that is filled past the engine."""

from __future__ import annotations

import pytest

from tests.bench.filled_database import entry_rows
from tests.bench.payloads import Payload

_VALUE = '{"text":"xxxxxxxxx"}'


@pytest.mark.parametrize("entries", [1, 1000, 100_000])
def test_every_key_is_there_once(entries: int) -> None:
    keys = [key for _, key, _, _ in entry_rows(entries, Payload("text", 20))]

    assert sorted(keys) == [f"key{number:07}" for number in range(entries)]


def test_rows_have_their_value_and_a_version_each_and_are_not_in_the_order_of_keys() -> None:
    rows = list(entry_rows(5, Payload("text", 20)))

    assert rows == [
        ("bench", "key0000000", _VALUE, 1),
        ("bench", "key0000003", _VALUE, 2),
        ("bench", "key0000001", _VALUE, 3),
        ("bench", "key0000004", _VALUE, 4),
        ("bench", "key0000002", _VALUE, 5),
    ]
