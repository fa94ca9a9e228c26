"""ASGI applications that tests serve: they record what they see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.core.listeners import ASGIApp, Message, Receive, Scope, Send
from engine.server.outbox import OutboxLimits
from engine.server.socket import AsgiSocket, Socket, open_socket
from tests.integration.engine.server.wire import LIMIT_S


async def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Return the first truthy value of `condition`, within a limit."""
    async with asyncio.timeout(LIMIT_S):
        while not (value := condition()):
            await asyncio.sleep(0.001)
    assert value, what
    return value


class Session:
    """One served socket: what came, what it does about it, how it ended."""

    def __init__(self, socket: Socket, echo: bool) -> None:
        self.socket = socket
        self.received: list[bytes] = []
        self.binary: list[bytes] = []
        self.code: int | None = None
        self._echo = echo

    def on_text(self, payload: bytes) -> None:
        self.received.append(payload)
        if payload == b"raise":
            raise RuntimeError("asked for")
        if self._echo:
            self.socket.push(payload)

    def on_binary(self, payload: bytes) -> None:
        self.binary.append(payload)

    async def ended(self) -> int:
        """Return the close code once `serve` has returned."""
        code: int = 1 + await eventually(
            lambda: self.code is not None and self.code + 1, "the session has ended"
        )
        return code - 2


class SocketApplication:
    """Serves sockets through the Socket contract, as the engine's consumers do.

    Args:
        echo: send every text message back.
        limits: for servers without sockets of their own.
    """

    def __init__(self, *, echo: bool = True, limits: OutboxLimits | None = None) -> None:
        self.sessions: list[Session] = []
        self.scopes: list[Scope] = []
        self._echo = echo
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] != "websocket":
            await answer_http(receive, send)
            return
        socket = open_socket(scope, receive, send)
        if isinstance(socket, AsgiSocket) and self._limits is not None:
            socket.limits = self._limits
        session = Session(socket, self._echo)
        await socket.accept()
        self.sessions.append(session)
        session.code = await socket.serve(session)

    async def session(self, index: int = 0) -> Session:
        """Return a session once it has begun."""
        await eventually(lambda: len(self.sessions) > index, "the session has begun")
        return self.sessions[index]


async def answer_http(receive: Receive, send: Send, body: bytes = b"hello") -> None:
    """Answer a request after its body has come."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def script(*events: Message) -> ASGIApp:
    """Return an application that sends these events, then waits for the disconnect."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return application
