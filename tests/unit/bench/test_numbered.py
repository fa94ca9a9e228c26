"""Messages with numbers: how they are written, and what a book of them tells."""

from __future__ import annotations

from itertools import islice

import orjson

from tests.bench.frames import client_header
from tests.bench.numbered import Book, NumberedPayload, enqueue_templates


def made(count: int, groups: int = 0) -> Book:
    """Return a book of so many messages."""
    book = Book(groups)
    for _ in range(count):
        book.make(0.0)
    return book


def test_a_payload_has_its_size_and_its_number() -> None:
    text = NumberedPayload(100).build(42)

    assert len(text) == 100
    assert orjson.loads(text)["n"] == "000000042"


def test_messages_are_put_into_groups_in_turn() -> None:
    payload = NumberedPayload(60)
    calls = list(islice(enqueue_templates("t", payload, groups=2), 3))

    header = len(client_header(200))
    frames = [orjson.loads(head[header:] + b"0" * 36 + tail) for head, tail in calls]
    assert [frame["data"]["message_group"] for frame in frames] == ["g00000", "g00001", "g00000"]
    assert [frame["data"]["data"]["n"][-1] for frame in frames] == ["0", "1", "2"]
    assert {frame["function_id"] for frame in frames} == {"enqueue"}


def test_a_book_counts_each_message_once() -> None:
    book = made(3)

    book.take([1, 0])
    book.take([1])

    assert (book.arrived, book.repeated, book.unknown) == (2, 1, 0)
    assert len(book.latencies_s) == 2


def test_a_message_that_was_never_made_is_unknown() -> None:
    book = made(1)

    book.take([7])

    assert (book.arrived, book.unknown) == (0, 1)


def test_groups_may_overtake_each_other() -> None:
    book = made(6, groups=2)

    book.take([1, 3, 0, 2, 5, 4])

    assert (book.arrived, book.disordered) == (6, 0)


def test_a_message_before_its_turn_is_disordered() -> None:
    book = made(6, groups=2)

    book.take([2, 0, 4])

    assert book.disordered == 3


def test_a_repeated_message_is_not_disordered() -> None:
    book = made(4, groups=2)

    book.take([0, 0, 2])

    assert (book.repeated, book.disordered) == (1, 0)
