"""What a book of calls that are due every second tells."""

from __future__ import annotations

import pytest

from tests.bench.clocked import TickBook


def book_of(*calls: tuple[int, int, float]) -> TickBook:
    """Return a book of two functions with calls: number, second, and when they came."""
    book = TickBook(2)
    for number, second, now in calls:
        book.take(number, second, now)
    return book


def test_calls_that_have_not_come_are_missing() -> None:
    book = book_of((0, 10, 10.1), (1, 10, 10.2), (0, 12, 12.1))

    assert book.missing(range(10, 13)) == 3
    assert book.missing(range(10, 11)) == 0


def test_a_call_that_comes_again_is_counted_however_late() -> None:
    book = book_of((0, 10, 10.1), (0, 10, 30.1), (0, 10, 31.1), (1, 11, 11.1))

    assert book.repeated() == 2


def test_a_call_before_its_second_is_early() -> None:
    assert book_of((0, 10, 9.99), (1, 10, 10.0)).early == 1


def test_a_call_of_no_such_function_is_unknown() -> None:
    book = book_of((2, 10, 10.1))

    assert (book.unknown, book.missing(range(10, 11))) == (1, 2)


def test_the_latest_second_is_one_that_is_complete() -> None:
    book = book_of((0, 10, 10.1), (1, 10, 10.2), (0, 11, 11.1))

    assert book.latest == 10
    assert TickBook(2).latest == 0


def test_lateness_is_that_of_the_calls_of_some_seconds() -> None:
    book = book_of((0, 10, 10.25), (1, 10, 10.125), (0, 11, 11.5))

    assert book.lateness_s(range(10, 11)) == pytest.approx([0.125, 0.25])
