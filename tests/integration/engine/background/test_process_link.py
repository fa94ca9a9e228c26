"""The links of a Celery process: which engines it calls, and how many."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now

from engine.background import process_link
from engine.background.link import LinkDown
from engine.background.process_link import (
    MAX_LINKS,
    UnknownEngine,
    get_link,
    make_link,
    set_own_link,
)
from engine.models import EngineNode

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """As in a process that was just made."""
    process_link._forget()
    yield
    process_link._forget()


@pytest.fixture(autouse=True)
def nodes() -> list[EngineNode]:
    """Engines that run: one, two, another, and MAX_LINKS that have numbers."""
    names = ["one", "two", "another", *(f"engine-{number}" for number in range(MAX_LINKS))]
    return [
        EngineNode.objects.create(
            id=uuid.uuid4(),
            hostname=name,
            pid=1,
            version="1",
            url=f"ws://{name}:49134",
            started_at=Now(),
            seen_at=Now(),
        )
        for name in names
    ]


def test_tasks_of_one_engine_share_a_link() -> None:
    link = get_link("ws://one:49134")

    assert link.url == "ws://one:49134"
    assert get_link("ws://one:49134") is link
    assert get_link("ws://two:49134") is not link


def test_a_task_of_nobody_goes_to_the_engine_of_the_settings() -> None:
    assert get_link().url == settings.III_URL
    assert get_link(settings.III_URL) is get_link()


def test_a_task_of_somebody_who_is_no_engine_gets_no_link() -> None:
    with pytest.raises(UnknownEngine, match=r"no engine in the database .* ws://evil:1"):
        get_link("ws://evil:1")


def test_while_the_database_is_away_only_links_that_are_there_are_used() -> None:
    def fail(*_: Any) -> Any:
        raise OperationalError("disk I/O error")

    link = get_link("ws://one:49134")
    with connection.execute_wrapper(fail):
        with pytest.raises(UnknownEngine, match=r"ws://two:49134 .* disk I/O error"):
            get_link("ws://two:49134")
        assert get_link("ws://one:49134") is link
        assert get_link().url == settings.III_URL


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
