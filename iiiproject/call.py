"""`iii trigger`: calls one function of a running engine, as a worker would."""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.sync.client import ClientConnection, connect

from iiiproject.terminal import RED, paint

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""The engine's own limit for one message."""


class CallFailed(Exception):
    """The call has no result: no engine, no answer in time, or an error."""


def call(function_id: str, payload: Any, *, address: str, port: int, timeout_s: float) -> int:
    """Call a function and print its result as indented JSON; errors go to stderr.

    Returns:
        The exit code: 0 with a result, 1 without.
    """
    host = f"[{address}]" if ":" in address else address
    try:
        result = _call(f"ws://{host}:{port}/", function_id, payload, timeout_s)
    except CallFailed as error:
        print(f"{paint('error', RED, sys.stderr)}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


def _call(url: str, function_id: str, payload: Any, timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    try:
        with connect(
            url, open_timeout=timeout_s, max_size=MAX_MESSAGE_BYTES, compression=None, proxy=None
        ) as socket:
            return _invoke(socket, function_id, payload, deadline)
    except TimeoutError as error:
        raise CallFailed(f"{function_id} did not answer within {timeout_s:g} s") from error
    except ConnectionRefusedError as error:
        raise CallFailed(
            f"no engine listens at {url}: start one with `iii`, or name its --address and --port"
        ) from error
    except (InvalidHandshake, InvalidMessage) as error:
        raise CallFailed(f"what listens at {url} is no worker port of an engine") from error
    except ConnectionClosed as error:
        raise CallFailed(f"the engine closed the connection: {error}") from error
    except OSError as error:
        raise CallFailed(f"{url} cannot be reached: {error.strerror or error}") from error


def _invoke(socket: ClientConnection, function_id: str, payload: Any, deadline: float) -> Any:
    invocation_id = str(uuid.uuid4())
    socket.send(
        json.dumps(
            {
                "type": "invokefunction",
                "invocation_id": invocation_id,
                "function_id": function_id,
                "data": payload,
            }
        )
    )
    while True:
        answer = json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
        if answer.get("invocation_id") == invocation_id:
            break
    error = answer.get("error")
    if error is not None:
        raise CallFailed(f"{error.get('code')}: {error.get('message')}")
    return answer.get("result")
