"""The links of this process: made at their first use, anew in every process that is forked."""

from __future__ import annotations

import os
import threading
from typing import Final

from django.conf import settings

from engine.background.link import EngineLink
from engine.background.token import internal_token

MAX_LINKS: Final = 16
"""Engines that one Celery process is linked to at once; the one unused for longest goes."""

_lock = threading.Lock()
_links: dict[str, EngineLink] = {}
_own: EngineLink | None = None


def get_link(url: str | None = None) -> EngineLink:
    """Return a link; it need not be up.

    Args:
        url: the engine that sent the task, as it calls itself; None: the engine of III_URL.
    """
    url = url or settings.III_URL
    surplus = None
    with _lock:
        if _own is not None:
            return _own
        link = _links.pop(url, None) or make_link(url)
        _links[url] = link  # at the end: they stand in the order of their last use
        if len(_links) > MAX_LINKS:
            surplus = _links.pop(next(iter(_links)))
    if surplus is not None:
        surplus.close()
    return link


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
