"""The addresses that the console tells people to type."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.request import split_domain_port

from engine.apps import get_engine

ROOM_OF_WORKERS = "workers"


def worker_url(request: HttpRequest) -> str:
    """Return where workers connect, on the host by which the console was reached."""
    host, _ = split_domain_port(request.get_host())
    port = next(each.port for each in get_engine().listeners() if each.room == ROOM_OF_WORKERS)
    return f"ws://{host}:{port}" if port else "the workers' address in the engine's banner"
