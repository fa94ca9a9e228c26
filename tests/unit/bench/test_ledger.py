"""The account of calls: no answer is lost, doubled or invented unseen."""

from __future__ import annotations

from tests.bench.frames import invocation_id
from tests.bench.ledger import Ledger


def test_ids_are_handed_out_once() -> None:
    ledger = Ledger()
    ledger.open()

    first, second = ledger.issue(3), ledger.issue(2)

    assert len(set(first + second)) == 5
    assert ledger.pending == 5


def test_only_so_many_calls_are_made_as_are_allowed() -> None:
    ledger = Ledger()
    ledger.open(calls=3)

    assert len(ledger.issue(2)) == 2
    assert len(ledger.issue(2)) == 1
    assert ledger.issue(2) == []


def test_a_closed_ledger_makes_no_calls_and_takes_answers() -> None:
    ledger = Ledger()
    ledger.open()
    call_ids = ledger.issue(2)

    ledger.close()

    assert ledger.issue(1) == []
    assert ledger.settle(call_ids) == 2


def test_a_call_without_an_answer_stays_pending() -> None:
    ledger = Ledger()
    ledger.open()
    call_ids = ledger.issue(3)

    assert ledger.settle(call_ids[1:]) == 2
    assert (ledger.answered, ledger.pending, ledger.duplicated) == (2, 1, 0)
    assert len(ledger.latencies_s) == 2


def test_a_second_answer_is_counted_and_ends_no_call() -> None:
    ledger = Ledger()
    ledger.open()
    (call_id,) = ledger.issue(1)

    assert ledger.settle([call_id, call_id]) == 1
    assert ledger.settle([call_id]) == 0
    assert (ledger.answered, ledger.duplicated) == (1, 2)


def test_an_answer_to_a_call_that_was_never_made_is_counted() -> None:
    ledger = Ledger()

    assert ledger.settle([invocation_id(7)]) == 0
    assert (ledger.answered, ledger.duplicated) == (0, 1)
