"""The one ASGI application: the port that a connection came in by chooses the room.

`build_application` serves a running engine; `application` is the console alone, for
`manage.py runserver`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iiiproject.settings")

import django
from django.apps import apps

if not apps.ready:  # under `runserver` and `runengine` Django is set up before
    django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

from engine.consumers import ChannelConsumer, StreamConsumer, TelemetryConsumer, WorkerConsumer
from engine.core.listeners import ASGIApp, Listener, Receive, Scope, Send
from engine.server.refusal import Refusal

application: Any = ProtocolTypeRouter({"http": get_asgi_application()})


def route(pattern: str, app: Any) -> Any:
    """Return a route of Channels' URLRouter; Django's stubs know views only."""
    return re_path(pattern, app)


WORKERS: Any = WorkerConsumer.as_asgi()

# SDKs append `/otel` and `/ws/channels/<id>` to whatever path the user's URL has, and the worker
# path must never be answered with an HTTP error: some Python SDKs give up for good.
WORKER_ROUTES: Any = URLRouter(
    [
        route(r"^(?:.*/)?ws/channels/[^/]*$", ChannelConsumer.as_asgi()),
        route(r"^(?:.*/)?otel/?$", TelemetryConsumer.as_asgi()),
        route(r"", WORKERS),
    ]
)


def worker_port(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Serve the worker port: the usual path at once, since the routes are tried one by one."""
    app = WORKERS if scope["path"] == "/" else WORKER_ROUTES
    return app(scope, receive, send)  # type: ignore[no-any-return]


STREAMS: Any = StreamConsumer.as_asgi()

ROOMS: Mapping[str, ASGIApp] = {
    "workers": worker_port,
    "streams": STREAMS,
    "console": application,
}
"""The applications of the listeners that bring none of their own."""

UPGRADE_REQUIRED = Refusal(426, "this port speaks WebSocket")
NO_WEBSOCKET = Refusal(404, "this port speaks HTTP only")


def build_application(listeners: Mapping[int, Listener]) -> ASGIApp:
    """Return the application of a running engine.

    Args:
        listeners: what was bound, by the port that was really taken.
    """
    apps_by_port: dict[tuple[int, str], ASGIApp] = {}
    for port, listener in listeners.items():
        app = listener.app or ROOMS[listener.room]
        is_http = listener.protocol == "http"
        apps_by_port[port, "http"] = app if is_http else _plain_http(listener.room)
        apps_by_port[port, "websocket"] = NO_WEBSOCKET if is_http else app

    def choose_room(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return apps_by_port[scope["server"][1], scope["type"]](scope, receive, send)

    return choose_room


def _plain_http(room: str) -> ASGIApp:
    app = ROOMS.get(room)
    return app if isinstance(app, Refusal) else UPGRADE_REQUIRED
