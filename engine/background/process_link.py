"""The links of this process: made at their first use, anew in every process that is forked."""

from __future__ import annotations

import os
import threading
from typing import Final

import django.db
from django.conf import settings

from engine.background.link import EngineLink
from engine.background.token import internal_token
from engine.core.errors import EngineError

MAX_LINKS: Final = 16
"""Engines that one Celery process is linked to at once; the one unused for longest goes."""

_lock = threading.Lock()
_links: dict[str, EngineLink] = {}
_own: EngineLink | None = None


class UnknownEngine(EngineError):
    """A task comes from an engine that is none of this deployment, or cannot be looked up."""

    code = "unknown_engine"


def get_link(url: str | None = None) -> EngineLink:
    """Return a link; it need not be up.

    Args:
        url: the engine that sent the task, as it calls itself; None: the engine of III_URL.

    Raises:
        UnknownEngine: no engine in the database calls itself so, or the database is away.
    """
    url = url or settings.III_URL
    with _lock:
        if _own is not None:
            return _own
        is_known = url == settings.III_URL or url in _links
    if not is_known:
        _check_node(url)
    surplus = None
    with _lock:
        link = _links.pop(url, None) or make_link(url)
        _links[url] = link  # at the end: they stand in the order of their last use
        if len(_links) > MAX_LINKS:
            surplus = _links.pop(next(iter(_links)))
    if surplus is not None:
        surplus.close()
    return link


def _check_node(url: str) -> None:
    """See that it is an engine's: the token is not for whoever can write to the broker."""
    from engine.models import EngineNode  # Celery loads this module before Django's models

    try:
        is_node = EngineNode.objects.filter(url=url).exists()
    except django.db.Error as error:
        problem = f"the database does not tell whether {url} is an engine: {error}"
        raise UnknownEngine(problem) from error
    if not is_node:
        raise UnknownEngine(
            f"no engine in the database of this process has the III_URL {url}, so it gets no call"
        )


def set_own_link(link: EngineLink | None) -> None:
    """Let every task of this process, which is an engine's, go to that engine."""
    global _own
    with _lock:
        _own = link


def make_link(url: str) -> EngineLink:
    """Return a link with the token of this deployment."""
    return EngineLink(url, internal_token(settings.SECRET_KEY), f"celery-{os.getpid()}")


def _forget() -> None:
    """Leave the parent's links to the parent: their threads did not come along."""
    global _lock, _own
    _lock = threading.Lock()
    _links.clear()
    _own = None


os.register_at_fork(after_in_child=_forget)
