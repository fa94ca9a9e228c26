"""An application that answers everything with one status and a JSON error."""

from __future__ import annotations

import json

from engine.core.listeners import Receive, Scope, Send

# What a WebSocket client sees where a server cannot answer the upgrade with a status.
TRY_AGAIN_LATER = 1013


class Refusal:
    """Refuses HTTP requests and WebSocket upgrades alike, with `{"error":{"code","message"}}`."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        body = json.dumps({"error": {"code": _CODES.get(status, "REFUSED"), "message": message}})
        self._body = body.encode()
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or upgrade."""
        if scope["type"] == "http":
            await self._answer("http.response", send)
        elif "websocket.http.response" in scope.get("extensions", {}):
            await self._answer("websocket.http.response", send)
        else:
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})

    async def _answer(self, kind: str, send: Send) -> None:
        await send({"type": f"{kind}.start", "status": self.status, "headers": self._headers})
        await send({"type": f"{kind}.body", "body": self._body})


_CODES = {404: "NOT_FOUND", 426: "UPGRADE_REQUIRED", 503: "UNAVAILABLE"}
