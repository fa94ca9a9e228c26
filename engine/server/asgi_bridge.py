"""The ASGI face of a picows connection: scope, receive and send for any consumer."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from engine.server.first_step import start_now
from engine.server.frames import BINARY, TEXT
from engine.server.handshake import Decision, acceptance, refusal, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from picows import WSUpgradeRequest

    from engine.core.listeners import ASGIApp, Message, Scope
    from engine.server.picows_connection import Connection

logger = logging.getLogger(__name__)

NORMAL_CLOSURE: Final = 1000
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013


class Answer(Enum):
    """What the application has said to the handshake so far."""

    NONE = auto()
    ACCEPTED = auto()
    REFUSED = auto()


class AsgiBridge:
    """One run of the application for one connection.

    picows wants the answer to a handshake at once. So the application's first step runs
    within `decide`; if it neither accepted nor refused by then, the bridge accepts, and a
    later refusal becomes a close code.
    """

    __slots__ = (
        "_answer",
        "_application",
        "_connection",
        "_has_ended",
        "_headers",
        "_is_connect_given",
        "_is_decided",
        "_refusal_body",
        "_refusal_status",
    )

    def __init__(self, connection: Connection, application: ASGIApp) -> None:
        self._connection = connection
        self._application = application
        self._answer = Answer.NONE
        self._is_decided = False
        self._has_ended = False
        self._is_connect_given = False
        self._headers: list[tuple[str, str]] = []
        self._refusal_status = 0
        self._refusal_body = b""

    def decide(self, request: WSUpgradeRequest) -> tuple[Decision, asyncio.Task[None]]:
        """Start the application; return the answer to the handshake and the task."""
        connection = self._connection
        scope = websocket_scope(request, connection.transport, connection.socket)
        task = start_now(self._run(scope))
        self._is_decided = True
        if self._refusal_status:
            return refusal(self._refusal_status, self._refusal_body, self._headers), task
        if self._has_ended and self._answer is Answer.NONE:
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, b"Internal Server Error\n"), task
        return acceptance(connection, self._headers), task

    def accept(self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Complete the handshake, as far as the bridge has not done so itself."""
        self._is_connect_given = True
        if self._answer is not Answer.NONE:
            raise RuntimeError("the WebSocket has been accepted or refused already")
        self._answer = Answer.ACCEPTED
        if not self._is_decided:
            self._headers = _decoded(headers)
            if subprotocol is not None:
                self._headers.append(("Sec-WebSocket-Protocol", subprotocol))
        elif subprotocol is not None:
            logger.warning(
                "a sub-protocol was chosen too late, the handshake is over",
                extra={"subprotocol": subprotocol},
            )

    async def receive(self) -> Message:
        """Return the next event, as ASGI's receive."""
        if not self._is_connect_given:
            self._is_connect_given = True
            return {"type": "websocket.connect"}
        if self._answer is Answer.REFUSED and not self._connection.inbox.is_over:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return await self._connection.inbox.receive()

    async def send(self, message: Message) -> None:
        """Take an event of the application, as ASGI's send; `websocket.send` waits for room.

        Raises:
            ConnectionResetError: the connection is over.
            RuntimeError: the event is out of place.
        """
        kind = message["type"]
        if kind == "websocket.send" and self._answer is Answer.ACCEPTED:
            text = message.get("text")
            if text is not None:
                await self._connection.socket.send_message(TEXT, text.encode())
            else:
                await self._connection.socket.send_message(BINARY, bytes(message["bytes"]))
        elif kind == "websocket.accept":
            self.accept(message.get("subprotocol"), message.get("headers", ()))
        elif kind == "websocket.close":
            self._close(message.get("code"), message.get("reason") or "")
        elif kind == "websocket.http.response.start" and self._answer is Answer.NONE:
            self._headers = _decoded(message.get("headers", ()))
            self._refuse(message["status"])
        elif kind == "websocket.http.response.body" and self._answer is Answer.REFUSED:
            self._refusal_body += message.get("body", b"")
        else:
            raise RuntimeError(f"{kind} is out of place")

    def _close(self, code: int | None, reason: str) -> None:
        if self._answer is Answer.ACCEPTED:
            self._connection.socket.close(NORMAL_CLOSURE if code is None else code, reason)
        elif self._answer is Answer.NONE:
            self._refuse(HTTPStatus.FORBIDDEN, code, reason)

    def _refuse(self, status: int, code: int | None = None, reason: str = "") -> None:
        self._answer = Answer.REFUSED
        if not self._is_decided:
            self._refusal_status = status
            return
        if code is None or code == NORMAL_CLOSURE:
            # A clean close means to many clients that they need not come back.
            code = TRY_AGAIN_LATER if status >= 500 else POLICY_VIOLATION
        self._connection.socket.close(code, reason)

    async def _run(self, scope: Scope) -> None:
        try:
            await self._application(scope, self.receive, self.send)
        except ConnectionResetError:
            if not self._connection.inbox.is_over:
                logger.exception("the application failed, its socket is closed")
        except Exception:
            logger.exception("the application failed, its socket is closed")
        finally:
            self._has_ended = True
            if self._is_decided or self._answer is Answer.ACCEPTED:
                self._connection.application_failed()


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
