"""The one application: which room a connection gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.core.listeners import ASGIApp, Listener, Message, Scope
from iiiproject.asgi import build_application

HTTP_PORT, STREAM_PORT, WORKER_PORT = 3111, 3112, 49134


async def hello(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def application() -> ASGIApp:
    def listener(room: str, protocol: Any, app: ASGIApp | None = None) -> Listener:
        return Listener(room, None, 0, protocol, room, app)

    return build_application(
        {
            HTTP_PORT: listener("http", "http", hello),
            STREAM_PORT: listener("streams", "websocket"),
            WORKER_PORT: listener("workers", "websocket"),
        }
    )


def request(port: int, kind: str, path: str = "/", **scope: Any) -> list[Message]:
    """Send one request or upgrade; return what the application sends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    full = {"type": kind, "path": path, "server": ("127.0.0.1", port), "headers": [], **scope}
    asyncio.run(application()(full, receive, send))  # type: ignore[arg-type]
    return sent


DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


def test_an_http_port_serves_its_own_application() -> None:
    assert request(HTTP_PORT, "http")[1]["body"] == b"hello"


@pytest.mark.parametrize(
    ("port", "kind", "path", "status"),
    [
        (WORKER_PORT, "http", "/", 426),
        (STREAM_PORT, "http", "/", 426),
        (HTTP_PORT, "websocket", "/", 404),
        (WORKER_PORT, "websocket", "/ws/channels/x", 404),
        (WORKER_PORT, "websocket", "/some/path/ws/channels/x", 404),
    ],
)
def test_what_does_not_belong_is_refused_with_a_reason(
    port: int, kind: str, path: str, status: int
) -> None:
    start, body = request(port, kind, path, **(DENIAL if kind == "websocket" else {}))

    prefix = "http.response" if kind == "http" else "websocket.http.response"
    assert (start["type"], start["status"]) == (f"{prefix}.start", status)
    assert json.loads(body["body"])["error"]["message"]


def test_a_server_without_denials_closes_the_upgrade() -> None:
    assert request(HTTP_PORT, "websocket") == [{"type": "websocket.close", "code": 1013}]
