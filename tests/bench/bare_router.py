"""The bare router: the least that routes a call, and so the measure of every line of the bench.

picows, uvloop and orjson, a dict for a registry, no checks:
`python -m tests.bench.bare_router PORT`.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

_functions: dict[str, WSTransport] = {}
_callers: dict[str, WSTransport] = {}


class _Connection(WSListener):
    """One worker: its calls go to the owner of the function, its results to the caller."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        message: dict[str, Any] = orjson.loads(frame.get_payload_as_memoryview())
        kind = message["type"]
        if kind == "invokefunction":
            target = _functions.get(message["function_id"])
            if target is None:
                transport.send(WSMsgType.TEXT, orjson.dumps(_not_found(message)))
                return
            _callers[message["invocation_id"]] = transport
            target.send(WSMsgType.TEXT, orjson.dumps(message))
        elif kind == "invocationresult":
            caller = _callers.pop(message["invocation_id"])
            caller.send(WSMsgType.TEXT, orjson.dumps(message))
        elif kind == "registerfunction":
            _functions[message["id"]] = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        # The next load generator calls before its worker has registered: the one that is gone
        # would never answer.
        for function_id in [each for each, owner in _functions.items() if owner is transport]:
            del _functions[function_id]


def _not_found(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "invocationresult",
        "invocation_id": message.get("invocation_id"),
        "function_id": message["function_id"],
        "error": {"code": "function_not_found", "message": "Function not found"},
    }


def _accept(_request: WSUpgradeRequest) -> WSListener:
    return _Connection()


async def _serve(port: int) -> None:
    server = await ws_create_server(_accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
