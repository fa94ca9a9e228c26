"""A request as handlers, conditions and middleware see it: JSON text put together from pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from engine.core.listeners import Exchange, Message, Receive, Scope, Send
from engine.core.protocol import encode
from engine.modules.api.body import parse_form
from engine.modules.api.routes import METHODS

EMPTY_OBJECT: Final = b"{}"

_METHOD_TEXTS: Final = {method: encode(method) for method in METHODS}


_MAX_KNOWN: Final = 256
"""Sets of headers of which it is known what they are as fields and as JSON."""

_known_fields: dict[Any, tuple[dict[str, str], bytes]] = {}


async def nothing() -> Message:
    """Receive for a client of whom nothing comes: it has left."""
    return {"type": "http.disconnect"}


async def nowhere(_: Message) -> None:
    """Send to a client that has left."""


class Request:
    """What a request says before its body, and where the body comes from.

    Attributes:
        method: as sent, upper case.
        path: percent-encoded, with its leading slash, without the query.
        fields: the headers, names in lower case; the last of equal names. Not to be changed.
        has_body: whether a body follows.
        receive: the server's.
        send: the server's.
        exchange: the server's, if it offers one.
    """

    __slots__ = (
        "_fields_text",
        "_query_string",
        "exchange",
        "fields",
        "has_body",
        "method",
        "path",
        "receive",
        "send",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive = nothing,
        send: Send = nowhere,
        exchange: Exchange | None = None,
    ) -> None:
        self.receive = receive
        self.send = send
        self.exchange = exchange
        self.method: str = scope["method"]
        raw: bytes | None = scope.get("raw_path")
        self.path = quote(scope["path"]) if raw is None else raw.decode("utf-8", "replace")
        self._query_string: bytes = scope["query_string"]
        headers = scope["headers"]
        if type(headers) is tuple:  # servers make one where they expect the same headers again
            known = _known_fields.get(headers) or _learn_fields(headers)
            self.fields, self._fields_text = known
        else:
            self.fields = read_fields(headers)
            self._fields_text = b""
        fields = self.fields
        self.has_body = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields

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
                self._fields_text or encode(self.fields),
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


def _learn_fields(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[dict[str, str], bytes]:
    if len(_known_fields) >= _MAX_KNOWN:
        _known_fields.clear()
    fields = read_fields(headers)
    _known_fields[headers] = known = fields, encode(fields)
    return known


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
