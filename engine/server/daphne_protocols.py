"""daphne's server and protocols as the engine wants them; importing this imports Twisted."""

from __future__ import annotations

import asyncio
import weakref
from functools import cache
from typing import Any, Final, cast

from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.logger import STDLibLogObserver, globalLogBeginner

from engine.core.listeners import ASGIApp, Message, Scope
from engine.server.frames import clip_reason
from engine.server.socket import ABORT_EXTENSION

MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024

CLOSE_TIMEOUT_S: Final = 3.0
"""How long a peer may take to answer our close frame."""

_NEVER_S: Final = 10 * 365 * 24 * 3600
"""daphne pings whoever was silent for so long; it cannot be told not to ping."""

_NORMAL_CLOSURE: Final = 1000


class EngineRequest(WebRequest):  # type: ignore[misc]
    """A request whose application may fail in the middle of its response."""

    def handle_exception(self, exception: BaseException) -> None:
        """End the connection of a response that has begun; answer 500 to any other request."""
        if not self._response_started:
            super().handle_exception(exception)
        elif self.channel is not None:
            self.channel.loseConnection()


class TrackingFactory(HTTPFactory):  # type: ignore[misc]
    """Makes HTTP connections and remembers them, so that idle ones can be closed.

    Args:
        server: daphne's server.
        silence_s: how long a client may pause before and within a request head.
    """

    def __init__(self, server: EngineDaphne, silence_s: float) -> None:
        super().__init__(server)
        self.timeOut = silence_s

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol of an accepted connection."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = EngineRequest
        self.server.accepted.add(protocol)
        return protocol


class EngineDaphne(Server):  # type: ignore[misc]
    """daphne's server without its `run`: ports, loop and signals are the engine's.

    Args:
        application: gets the scopes of all ports.
    """

    def __init__(self, application: ASGIApp) -> None:
        super().__init__(
            application,
            endpoints=["the engine's own"],
            signal_handlers=False,
            websocket_timeout=-1,
            ping_interval=_NEVER_S,
            server_name="",
        )
        self.accepted: weakref.WeakSet[Any] = weakref.WeakSet()
        self.connections: dict[Any, dict[str, Any]] = {}
        self._is_closed = False

    def start(self) -> None:
        """Make the factories and start the timers, as far as `run` would."""
        _log_to_logging()
        self.ws_factory = WebSocketFactory(self, server="")
        self.ws_factory.setProtocolOptions(
            autoPingInterval=0,
            allowNullOrigin=True,
            closeHandshakeTimeout=CLOSE_TIMEOUT_S,
            maxMessagePayloadSize=MAX_MESSAGE_SIZE,
            maxFramePayloadSize=MAX_MESSAGE_SIZE,
            # A peer that breaks the protocol is told why.
            failByDrop=False,
        )
        self.application_checker()
        self.timeout_checker()

    def application_checker(self) -> None:
        """Reap ended applications, every second until the server is closed."""
        if not self._is_closed:
            super().application_checker()

    def timeout_checker(self) -> None:
        """Cut handshakes that nobody answers, until the server is closed."""
        if not self._is_closed:
            super().timeout_checker()

    def create_application(self, protocol: Any, scope: Scope) -> Any:
        """Start the application; WebSocket scopes say how to drop the connection."""
        if scope["type"] == "websocket":
            scope.setdefault("scheme", "ws")
            scope.setdefault("http_version", "1.1")
            scope["extensions"] = {ABORT_EXTENSION: protocol.transport.abortConnection}
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        """Take an event of the application.

        Close codes are not limited as daphne's are, and empty messages, which it drops, are sent.
        """
        if message["type"].startswith("websocket.http.response."):
            if hasattr(protocol, "handshake_deferred"):
                protocol.serverReject()
        elif (
            message["type"] == "websocket.close"
            and protocol.state == WebSocketProtocol.STATE_OPEN
            and message.get("code") is not None
        ):
            close_websocket(protocol, message["code"], message.get("reason") or "")
        elif (
            message["type"] == "websocket.send"
            and protocol.state == WebSocketProtocol.STATE_OPEN
            and not (message.get("text") or message.get("bytes"))
        ):
            protocol.sendMessage(b"", message.get("text") is None)
        else:
            await super().handle_reply(protocol, message)

    async def close(self, code: int, grace_s: float) -> None:
        """Close WebSockets with `code`, idle connections at once, then drop what is left."""
        websockets = [each for each in self.connections if isinstance(each, WebSocketProtocol)]
        for websocket in websockets:
            close_websocket(websocket, code)
        requests = [each for each in self.connections if isinstance(each, WebRequest)]
        busy = {request.channel for request in requests if not request.finished}
        for accepted in list(self.accepted):
            if accepted._channel not in busy:
                _drop_idle(accepted)
        await self._wait_for_applications(grace_s)
        for protocol in list(self.connections):
            if protocol.transport is not None:
                protocol.transport.abortConnection()
        self._is_closed = True

    async def _wait_for_applications(self, grace_s: float) -> None:
        applications = {
            details["application_instance"]
            for details in self.connections.values()
            if "application_instance" in details
        }
        if not applications:
            return
        _, late = await asyncio.wait(applications, timeout=grace_s)
        for application in late:
            application.cancel()
        await asyncio.gather(*applications, return_exceptions=True)


def close_websocket(protocol: Any, code: int, reason: str = "") -> None:
    """Send a close frame with any code; autobahn's own way takes 1000 and 3000 to 4999 only."""
    if protocol.state == WebSocketProtocol.STATE_OPEN:
        protocol.sendCloseFrame(code=code, reasonUtf8=clip_reason(reason).encode(), isReply=False)
    elif protocol.state == WebSocketProtocol.STATE_CONNECTING:
        protocol.transport.abortConnection()


def _drop_idle(accepted: Any) -> None:
    """Close a kept HTTP connection; one that became a WebSocket has another protocol now."""
    transport = accepted._channel.transport
    if transport is not None and getattr(transport, "protocol", None) is accepted:
        transport.loseConnection()


@cache
def _log_to_logging() -> None:
    """Send Twisted's log to logging; it takes that once in a process."""
    globalLogBeginner.beginLoggingTo(
        [cast("Any", STDLibLogObserver("twisted"))], redirectStandardIO=False, discardBuffer=True
    )
