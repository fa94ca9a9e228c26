"""The history of a group keeps its bounds, and knows what it has forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.history import EVENT_COST, HISTORY_COST, MAX_BYTES, MAX_EVENTS, Event, History

EVENTS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(["a", "b", None]), st.integers(1, MAX_BYTES // 3)),
    max_size=20,
)


def event(seq: int, item_id: str | None = None, size: int = 10) -> Event:
    return Event(seq, item_id, b"x" * size)


def test_events_after_one_come_in_their_order() -> None:
    history = History(10)
    events = [event(20, "a"), event(30), event(40, "b")]
    for each in events:
        history.append(each)
    assert history.since(20, None) == events[1:]
    assert history.since(10, None) == events
    assert history.since(40, None) == []
    assert history.since(10, "b") == events[2:]


def test_what_was_before_the_floor_is_not_known() -> None:
    history = History(10)
    history.append(event(20))
    assert history.since(9, None) is None


def test_no_more_than_a_thousand_events_are_kept() -> None:
    history = History(0)
    for seq in range(1, MAX_EVENTS + 3):
        history.append(event(seq))
    assert (len(history), history.floor) == (MAX_EVENTS, 2)
    assert history.since(1, None) is None
    assert history.since(2, None) is not None


def test_an_event_larger_than_all_may_be_is_known_to_be_missing() -> None:
    history = History(0)
    history.append(event(1))
    history.append(event(2, size=MAX_BYTES + 1))
    assert (len(history), history.cost) == (0, 0)
    assert history.since(1, None) is None
    assert history.since(2, None) == []


@given(EVENTS, st.integers(0, 100), st.sampled_from(["a", "b", None]))
def test_all_after_a_number_are_there_or_it_says_so(
    steps: list[tuple[int, str | None, int]], since: int, item_id: str | None
) -> None:
    history, seq, total = History(0), 0, 0
    everything: list[Event] = []
    for step, about, size in steps:
        seq += step
        everything.append(event(seq, about, size))
        total += history.append(everything[-1])
    found = history.since(since, item_id)
    wanted = [each for each in everything if each.seq > since and item_id in {None, each.item_id}]
    kept = everything[len(everything) - len(history) :]
    assert sum(len(each.frame) for each in kept) <= MAX_BYTES
    costs = [len(each.frame) + EVENT_COST for each in kept]
    assert history.cost == total == (sum(costs) + HISTORY_COST if kept else 0)
    if found is None:
        assert any(each.seq > since and each not in kept for each in everything)
    else:
        assert found == wanted
