"""Cross-origin headers: what pages of other origins may read and send."""

from __future__ import annotations

from typing import Final

from engine.modules.api.config import CorsConfig
from engine.modules.api.errors import Headers

CROSS_ORIGIN: Final = b"access-control-"
"""How the names of all cross-origin headers begin."""

ALLOW_ORIGIN: Final = b"access-control-allow-origin"

_VARY: Final = (
    b"vary",
    b"origin, access-control-request-method, access-control-request-headers",
)
_ANY_ORIGIN: Final = (ALLOW_ORIGIN, b"*")
_EXPOSE_ALL: Final = (b"access-control-expose-headers", b"*")
_ALLOW_HEADERS: Final = (b"access-control-allow-headers", b"*")


class Cors:
    """The headers that every answer carries, made once for each origin that may call.

    Credentials are never allowed.
    """

    def __init__(self, config: CorsConfig | None) -> None:
        self._by_origin: dict[str | None, Headers] = {}
        self._others: Headers = [_VARY]
        methods = "*"
        if config is None:
            self._others = [_VARY, _ANY_ORIGIN, _EXPOSE_ALL]
        else:
            if not config.allowed_origins or "*" in config.allowed_origins:
                self._others = [_VARY, _ANY_ORIGIN]
            else:
                self._by_origin = {
                    origin: [_VARY, (ALLOW_ORIGIN, origin.encode())]
                    for origin in config.allowed_origins
                }
            if config.allowed_methods and "*" not in config.allowed_methods:
                methods = ",".join(method.upper() for method in config.allowed_methods)
        self._lines_by_origin = {
            origin: _lines(headers) for origin, headers in self._by_origin.items()
        }
        self._other_lines = _lines(self._others)
        self._preflight: Headers = [
            (b"access-control-allow-methods", methods.encode()),
            _ALLOW_HEADERS,
        ]

    def headers(self, origin: str | None) -> Headers:
        """Return the headers of any answer to a page of this origin; not to be changed."""
        return self._by_origin.get(origin, self._others)

    def lines(self, origin: str | None) -> bytes:
        """Return the same headers as they go on the wire."""
        return self._lines_by_origin.get(origin, self._other_lines)

    def preflight(self) -> Headers:
        """Return what an answer to OPTIONS carries beside them; not to be changed."""
        return self._preflight


def is_preflight(fields: dict[str, str]) -> bool:
    """Tell whether an OPTIONS is a browser's question what it may send."""
    return "access-control-request-method" in fields


def joined(own: Headers, cors: Headers) -> Headers:
    """Put the engine's cross-origin headers in place of those that a function set itself."""
    for name, _ in own:
        if name.startswith(CROSS_ORIGIN):
            break
    else:
        return own + cors
    names = {name for name, _ in cors}
    return [each for each in own if each[0] not in names or each[0] == b"vary"] + cors


def _lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
