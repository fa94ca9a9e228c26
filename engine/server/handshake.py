"""The WebSocket handshake on picows: the ASGI scope, refusals, and what picows is strict about."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from multidict import CIMultiDict
from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from engine.server.picows_parser import Acceptance
from engine.server.socket import SOCKET_EXTENSION, Socket

if TYPE_CHECKING:
    import asyncio

    from engine.core.listeners import Scope

Decision: TypeAlias = WSUpgradeResponseWithListener

_ANSWERED_BY_US: Final = frozenset({"content-length", "transfer-encoding", "connection"})


def refusal_of(request: WSUpgradeRequest) -> Decision | None:
    """Return the answer to a request that cannot become a WebSocket, None if it can.

    The headers of a good request are put into the one spelling that picows takes:
    browsers send lists such as `Connection: keep-alive, Upgrade`.
    """
    headers = request.headers
    if not request.path.startswith(b"/"):
        return refusal(HTTPStatus.BAD_REQUEST, b"The request target has to be a path.\n")
    if headers.get("upgrade") != "websocket" or headers.get("connection") != "Upgrade":
        wanted = _tokens(headers, "upgrade"), _tokens(headers, "connection")
        if "websocket" not in wanted[0] or "upgrade" not in wanted[1]:
            return refusal(
                HTTPStatus.UPGRADE_REQUIRED,
                b"This port speaks WebSocket only.\n",
                [("Upgrade", "websocket")],
            )
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade"
    if headers.get("sec-websocket-version") != "13":
        return refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            b"This port speaks version 13 of the WebSocket protocol only.\n",
            [("Sec-WebSocket-Version", "13")],
        )
    return None


def refusal(status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> Decision:
    """Return an HTTP answer after which the connection ends."""
    return WSUpgradeResponseWithListener(http_response(status, body, headers), None)


def http_response(
    status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> WSUpgradeResponse:
    """Return an HTTP answer; the headers about its length and connection are ours."""
    response = WSUpgradeResponse()
    response.version = b"HTTP/1.1"
    response.status = HTTPStatus(status)
    response.headers = CIMultiDict(
        (name, value) for name, value in headers if name.lower() not in _ANSWERED_BY_US
    )
    response.headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    response.headers["Connection"] = "close"
    if not body:
        response.headers["Content-Length"] = "0"
    response.body = body
    return response


def acceptance(listener: WSListener, headers: Iterable[tuple[str, str]]) -> Decision:
    """Return the answer that turns the connection into a WebSocket."""
    return WSUpgradeResponseWithListener(Acceptance(headers), listener)


def _tokens(headers: CIMultiDict[str], name: str) -> set[str]:
    values = headers.getall(name, [])
    return {token.strip().lower() for value in values for token in value.split(",")}


def websocket_scope(
    request: WSUpgradeRequest, transport: asyncio.Transport, socket: Socket
) -> Scope:
    """Return the ASGI scope of a handshake; `socket` is offered under `iii.socket`."""
    raw_path, _, query_string = request.path.partition(b"?")
    subprotocols = [
        token.strip()
        for value in request.headers.getall("sec-websocket-protocol", [])
        for token in value.split(",")
    ]
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": unquote(raw_path.decode("ascii", "surrogateescape")),
        "raw_path": raw_path,
        "query_string": query_string,
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("ascii", "surrogateescape"))
            for name, value in request.headers.items()
        ],
        "client": _address(transport.get_extra_info("peername")),
        "server": _address(transport.get_extra_info("sockname")),
        "subprotocols": subprotocols,
        "state": {},
        "extensions": {"websocket.http.response": {}, SOCKET_EXTENSION: socket},
    }
    return scope


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
