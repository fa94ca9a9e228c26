"""A request as handlers, conditions and middleware see it: JSON text put together from pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, unquote

from engine.core.listeners import Exchange, Message, Receive, Scope
from engine.core.protocol import encode
from engine.modules.api.body import parse_form
from engine.modules.api.routes import METHODS

EMPTY_OBJECT: Final = b"{}"

_METHOD_TEXTS: Final = {method: encode(method) for method in METHODS}


async def nothing() -> Message:
    """Receive for a client of whom nothing comes: it has left."""
    return {"type": "http.disconnect"}


class Request:
    """What a request says before its body, and where the body comes from.

    Attributes:
        method: as sent, upper case.
        path: percent-encoded, with its leading slash, without the query.
        fields: the headers, names in lower case; the last of equal names.
        receive: the server's.
        exchange: the server's, if it offers one.
    """

    __slots__ = ("_query_string", "exchange", "fields", "method", "path", "receive")

    def __init__(
        self, scope: Scope, receive: Receive = nothing, exchange: Exchange | None = None
    ) -> None:
        self.receive = receive
        self.exchange = exchange
        self.method: str = scope["method"]
        raw: bytes | None = scope.get("raw_path")
        self.path = quote(scope["path"]) if raw is None else raw.decode("utf-8", "replace")
        self._query_string: bytes = scope["query_string"]
        self.fields = read_fields(scope["headers"])

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        fields = self.fields
        return fields.get("content-length", "0") != "0" or "transfer-encoding" in fields

    @property
    def announced_length(self) -> int:
        """The length of the body as the client says; 0 if it does not."""
        length = self.fields.get("content-length", "0")
        return int(length) if length.isdecimal() else 0

    def payload(
        self,
        names: Sequence[str],
        values: Sequence[str],
        described: bytes,
        body: bytes,
        channels: bytes = b"",
    ) -> bytes:
        """Return what handlers and conditions get.

        Args:
            names: of the path parameters.
            values: of the path parameters, as they came.
            described: the members `path` and `trigger`, each after a comma.
            body: JSON text.
            channels: for handlers, the members `request_body` and `response`, each after a comma.

        Returns:
            `{"path_params", "query_params", "headers", "path", "trigger", "method",
            "request_path", "path_params_decoded", "body"}`, and the channels; all but trigger and
            body are strings or objects of strings. `path` is the pattern, `request_path` the path
            that was asked for.
        """
        params, decoded = path_params(names, values)
        query = self._query_string
        return b"".join(
            (
                b'{"path_params":',
                params,
                b',"query_params":',
                read_query(query) if query else EMPTY_OBJECT,
                b',"headers":',
                encode(self.fields),
                described,
                b',"method":',
                _METHOD_TEXTS.get(self.method) or encode(self.method),
                b',"request_path":',
                encode(self.path),
                b',"path_params_decoded":',
                decoded,
                channels,
                b',"body":',
                body,
                b"}",
            )
        )

    def head(self, names: Sequence[str], values: Sequence[str]) -> bytes:
        """Return what middleware gets: `{"phase", "request", "context"}`, without a body."""
        return b"".join(
            (
                b'{"phase":"preHandler","request":{"path_params":',
                path_params(names, values)[0],
                b',"query_params":',
                read_query(self._query_string),
                b',"headers":',
                encode(self.fields),
                b',"method":',
                encode(self.method),
                b'},"context":{}}',
            )
        )


def read_fields(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as an object; the last of equal names wins, what is not ASCII is empty."""
    try:
        return {name.decode("ascii"): value.decode("ascii") for name, value in headers}
    except UnicodeDecodeError:
        return {
            name.decode("latin-1"): value.decode() if value.isascii() else ""
            for name, value in headers
        }


def read_query(query_string: bytes) -> bytes:
    """Return a query as a JSON object of strings."""
    if not query_string:
        return EMPTY_OBJECT
    return encode(parse_form(query_string.decode("utf-8", "replace")))


def path_params(names: Sequence[str], values: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the path parameters as JSON objects, as they came and decoded.

    The last of equal names wins.
    """
    if not names:
        return EMPTY_OBJECT, EMPTY_OBJECT
    params = dict(zip(names, values, strict=True))
    raw = encode(params)
    if b"%" not in raw:
        return raw, raw
    return raw, encode({name: unquote(value) for name, value in params.items()})
