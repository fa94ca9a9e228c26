from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.conf import settings

from engine.background import process_link
from engine.background.link import LinkDown
from engine.background.process_link import MAX_LINKS, get_link, make_link, set_own_link


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """As in a process that was just made."""
    process_link._forget()
    yield
    process_link._forget()


def test_tasks_of_one_engine_share_a_link() -> None:
    link = get_link("ws://one:49134")

    assert link.url == "ws://one:49134"
    assert get_link("ws://one:49134") is link
    assert get_link("ws://two:49134") is not link


def test_a_task_of_nobody_goes_to_the_engine_of_the_settings() -> None:
    assert get_link().url == settings.III_URL
    assert get_link(settings.III_URL) is get_link()


def test_in_an_engine_every_task_goes_to_itself() -> None:
    own = make_link("ws://own:1")
    set_own_link(own)

    assert get_link() is own
    assert get_link("ws://one:49134") is own


def test_links_are_bounded_and_the_one_unused_for_longest_is_closed() -> None:
    links = [get_link(f"ws://engine-{number}:49134") for number in range(MAX_LINKS)]
    assert get_link("ws://engine-0:49134") is links[0]

    get_link("ws://another:49134")

    assert get_link("ws://engine-0:49134") is links[0]
    with pytest.raises(LinkDown):
        links[1].call("any", b"null", 0.0)
    assert links[1]._thread is None
    assert get_link("ws://engine-1:49134") is not links[1]


def test_a_forked_process_has_links_of_its_own() -> None:
    parents = get_link("ws://one:49134")

    process_link._forget()  # what the fork does in the child

    assert get_link("ws://one:49134") is not parents
    assert str(os.getpid()) in get_link("ws://one:49134")._name
