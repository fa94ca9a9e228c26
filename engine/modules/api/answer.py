"""From what a function returned to what the client gets: status, headers, body.

The body stays JSON text: it is never parsed, but for a string that has to lose its quotes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.core.protocol import NULL
from engine.modules.api.errors import CLOSE, JSON_TYPE, BadStatusCode, Headers, Response

LOWEST_STATUS: Final = 100
HIGHEST_STATUS: Final = 999
EMPTY_OBJECT: Final = b"{}"

# They say where a message ends and what becomes of its connection: the server writes them.
FRAMING: Final = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_STATUSES: Final = {b"%d" % code: code for code in range(LOWEST_STATUS, HIGHEST_STATUS + 1)}
_ABSENT: Final = frozenset({b"", NULL})
_TOKEN: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_MISSING: Final = msgspec.Raw()


class _Answer(msgspec.Struct, gc=False):
    status_code: msgspec.Raw = _MISSING
    status: msgspec.Raw = _MISSING
    headers: msgspec.Raw = _MISSING
    body: msgspec.Raw = _MISSING


_decode = msgspec.json.Decoder(_Answer).decode


def interpret(
    result: bytes | msgspec.Raw | None, *, status: int = 200, missing_body: bytes = EMPTY_OBJECT
) -> Response:
    """Make an answer of what a function returned.

    Args:
        result: JSON text: `{"status_code" or "status", "headers", "body"}`, all optional;
            anything but an object counts as `{}`.
        status: where the result names none.
        missing_body: where the result has none.

    Raises:
        BadStatusCode: the status does not exist.
    """
    try:
        answer = _decode(result) if result is not None else _Answer()
    except msgspec.ValidationError:
        answer = _Answer()
    status = _STATUSES.get(bytes(answer.status_code)) or _unusual_status(answer, status)
    body = bytes(answer.body) or missing_body
    headers: Headers
    if answer.headers is _MISSING or (own := bytes(answer.headers)) == NULL:
        headers, content_type = [], ""
    else:
        headers, content_type = read_headers(own)
    if status < 200:
        # No client takes it for the end of the answer, unless the connection ends too.
        return Response(status, [*headers, CLOSE], b"")
    if status in {204, 304}:
        return Response(status, headers, b"")
    if not content_type:
        headers.append(JSON_TYPE)
    elif body.startswith(b'"'):
        body = msgspec.json.decode(body, type=str).encode()
    elif body == NULL and "application/json" not in content_type.lower():
        body = b""
    headers.append((b"content-length", b"%d" % len(body)))
    return Response(status, headers, body)


def _unusual_status(answer: _Answer, default: int) -> int:
    named = bytes(answer.status_code)
    if named not in _ABSENT:
        return _read_status("status_code", named)
    named = bytes(answer.status)
    # `status` is a word that handlers use for other things too: "ok" is no attempt at a code.
    is_code = named[:1] == b"-" or named[:1].isdigit() or named.strip(b'"').isdigit()
    return _read_status("status", named) if is_code else default


def _read_status(member: str, named: bytes) -> int:
    value = _read(named)
    code = _STATUSES.get(value.encode()) if isinstance(value, str) else value
    if isinstance(code, int | float) and not isinstance(code, bool):
        in_range = LOWEST_STATUS <= code <= HIGHEST_STATUS
        if in_range and code == int(code):
            return int(code)
    raise BadStatusCode(
        f"the function answered with {member} {named[:80].decode(errors='replace')}, "
        f"which is not an integer from {LOWEST_STATUS} to {HIGHEST_STATUS}"
    )


def _read(raw: bytes) -> Any:
    # JSON text that was checked already; only numbers that no float can hold are refused.
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def read_headers(raw: bytes) -> tuple[Headers, str]:
    """Read the headers that a function set: an object, or a list of `Name: value` lines.

    In an object a list of strings stands for several headers of that name (`Set-Cookie`). What is
    no string, no valid name or not the function's business is left out; of several content types
    the last counts.

    Returns:
        The headers, and the content type among them; empty if there is none.
    """
    value = _read(raw)
    headers: Headers = []
    content_type = ""
    for name, text in _pairs(value):
        lower = name.strip().lower()
        line = text.strip()
        if lower in FRAMING or not _is_token(lower) or not _is_field_value(line):
            continue
        if lower == "content-type":
            content_type = line
        else:
            headers.append((lower.encode(), line.encode()))
    if content_type:
        headers.append((b"content-type", content_type.encode()))
    return headers, content_type


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, text in value.items():
            for each in text if isinstance(text, list) else (text,):
                if isinstance(each, str):
                    yield name, each
    elif isinstance(value, list):
        for line in value:
            if isinstance(line, str) and ":" in line:
                name, _, text = line.partition(":")
                yield name, text


def _is_token(name: str) -> bool:
    return bool(name) and _TOKEN.issuperset(name)


def _is_field_value(text: str) -> bool:
    if text.isprintable():
        return True
    return not any((each < " " and each != "\t") or each == "\x7f" for each in text)
