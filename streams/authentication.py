"""What a worker's `auth_function` is asked about a client, and what its answer means."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.core.errors import EngineError
from engine.core.protocol import NULL, encode

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

LIMIT_S: Final = 30.0
"""How long a client waits for the function; after that, it is let in without a context."""

SUBPROTOCOL: Final = "authorization"
"""What browsers offer beside their token, as they cannot send a header."""


class AuthAnswer(msgspec.Struct):
    """`{context}`; nothing else is read."""

    context: msgspec.Raw = msgspec.Raw(NULL)


def chosen_subprotocol(offered: Iterable[str]) -> str | None:
    """Return the sub-protocol to accept: browsers give up if none of theirs is chosen."""
    return next((each for each in offered if each.lower() == SUBPROTOCOL), None)


async def context_of(engine: Engine, function_id: str, scope: Mapping[str, Any]) -> bytes:
    """Ask the auth function about a client.

    It never refuses: a failure lets the client in without a context; join handlers may refuse.

    Args:
        engine: calls it.
        function_id: of the auth function.
        scope: of the connection, as ASGI has it.

    Returns:
        JSON text, `null` without a context.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            answer = await engine.invoke(function_id, encode(auth_payload(scope)))
        return bytes(msgspec.json.decode(answer or b"{}", type=AuthAnswer).context)
    except (EngineError, TimeoutError, msgspec.DecodeError) as error:
        logger.warning(
            "the auth function of streams failed, a client has no context: %s",
            str(error) or f"no answer within {LIMIT_S:g} s",
            extra={"function_id": function_id},
        )
        return NULL


def auth_payload(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{headers, path, query_params, addr}` of a connection.

    Header names are in lower case, values of repeated ones joined by commas; values of the query
    are lists, not decoded; `addr` is `ip:port`, empty if the server does not know it.
    """
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    query: dict[str, list[str]] = {}
    for pair in scope["query_string"].decode("latin-1").split("&"):
        if pair:
            name, _, value = pair.partition("=")
            query.setdefault(name, []).append(value)
    client = scope.get("client")
    return {
        "headers": headers,
        "path": scope["path"],
        "query_params": query,
        "addr": f"{client[0]}:{client[1]}" if client else "",
    }
