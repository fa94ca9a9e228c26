"""Request bodies: reading them within limits, and making JSON of them."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

import msgspec

from engine.core.listeners import Receive
from engine.core.protocol import NULL, encode, is_utf8
from engine.modules.api.calls import CallTimedOut, Deadlines
from engine.modules.api.errors import CLOSE, ClientGone, Headers, HttpError

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

_check_json = msgspec.json.Decoder(msgspec.Raw).decode


async def read_body(
    receive: Receive, *, announced: int, is_held_back: bool, limit: int, deadlines: Deadlines
) -> bytes:
    """Read a whole request body.

    Args:
        receive: of the ASGI server.
        announced: its length as the request says, 0 if it does not.
        is_held_back: the client waits to be asked for it (`Expect: 100-continue`).
        limit: in bytes; counted as they come in.
        deadlines: how long the client may be silent.

    Raises:
        HttpError: 413, too long; 408, silent for too long.
        ClientGone: the connection ended.
    """
    check_announced(announced, limit, is_held_back=is_held_back)
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            message = await deadlines.step(receive())
        except CallTimedOut:
            silence = f"no data of the body for {deadlines.timeout_s:g} s"
            raise HttpError(408, "request_timeout", silence, [CLOSE]) from None
        if message["type"] == "http.disconnect":
            raise ClientGone("the client left while it sent its request")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def check_announced(announced: int, limit: int, *, is_held_back: bool) -> None:
    """Refuse a body that is announced to exceed a limit; both in bytes.

    Raises:
        HttpError: 413.
    """
    if announced > limit:
        # What was held back never comes: another request on this connection would be read as it.
        raise too_large(limit, [CLOSE] if is_held_back else None)


def too_large(limit: int, headers: Headers | None = None) -> HttpError:
    """Return the error of a body that exceeds a limit in bytes."""
    return HttpError(413, "payload_too_large", f"the request body exceeds {limit} bytes", headers)


def is_json(content_type: str) -> bool:
    """Tell whether a content type names JSON, in any case; `application/problem+json` does not."""
    return JSON in content_type or JSON in content_type.lower()


def is_readable(content_type: str) -> bool:
    """Tell whether `parse_body` makes something of a content type."""
    essence = _essence(content_type)
    return essence == FORM or essence.startswith("text/")


def json_body(body: bytes) -> bytes:
    """Return a JSON body for pasting into the payload, `null` for anything that is not JSON.

    It is checked and not parsed: numbers, key order and spelling stay as they were sent.
    """
    if not body or not is_utf8(body):
        return NULL
    try:
        _check_json(body)
    except (msgspec.DecodeError, RecursionError):
        return NULL
    return body


def as_json(content_type: str, body: bytes) -> bytes:
    """Return a body of a content type that is read at all as JSON text."""
    return json_body(body) if is_json(content_type) else parsed_body(content_type, body)


def parsed_body(content_type: str, body: bytes) -> bytes:
    """Return a form as a JSON object of strings, text as a JSON string; both are UTF-8."""
    text = body.decode("utf-8", "replace")
    return encode(parse_form(text) if _essence(content_type) == FORM else text)


def parse_form(text: str) -> dict[str, str]:
    """Decode `a=1&b=x+y`; the last of equal names wins, a name without `=` has an empty value."""
    fields: dict[str, str] = {}
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            fields[_decoded(name)] = _decoded(value)
    return fields


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _essence(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
