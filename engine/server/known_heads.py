"""Request heads that clients repeat: to compare one costs far less than to parse it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

RequestHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

MAX_HEADS: Final = 256
"""Different heads that are kept; when there are more, it begins anew."""

MAX_BYTES: Final = 2048
"""Of a head that is kept."""

_VERSION: Final = b" HTTP/1.1\r\n"

_PLAIN_START: Final = re.compile(rb"(GET|HEAD) (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))?")
"""A request up to its version, in characters that mean themselves: no `#`, no space, no control."""

_DECISIVE: Final = frozenset({b"content-length", b"expect", b"transfer-encoding", b"upgrade"})
"""Fields by which more than the head may come, or something else than a response be wanted."""


class KnownHead:
    """All of a request but its method and target, and what the parser made of it.

    Attributes:
        text: from the version on to the end of the request, which has no body.
        headers: one object for all requests with this head, so that it may be a key of what an
            application makes of it.
    """

    __slots__ = ("headers", "text")

    def __init__(self, text: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.text = text
        self.headers = headers

    def start_of(self, data: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Return method, path and query of a request that ends with this head.

        None: the parser has to look at it, since it is not quite ordinary or not one request.
        """
        start = _PLAIN_START.fullmatch(data, 0, len(data) - len(self.text))
        return None if start is None else start.groups(b"")  # type: ignore[return-value]


class KnownHeads:
    """The heads that are kept; those of one client are the same on all of its connections."""

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}

    def share(self, data: bytes, text: bytes, headers: RequestHeaders) -> KnownHead | None:
        """Return the head of a request, the same object for the same text.

        Args:
            data: the whole request.
            text: its head, as `head_of` returns it.
            headers: what the parser made of that.

        Returns:
            None if other requests with this head may not be told by it.
        """
        if any(name in _DECISIVE for name, _ in headers):
            return None
        known = self._heads.get(text)
        if known is None:
            known = KnownHead(text, tuple(headers))
            if known.start_of(data) is None:
                return None
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()  # connections go on with what they have
            self._heads[text] = known
        return known


def head_of(data: bytes) -> bytes:
    """Return where a request that is alone in `data` goes on after its target; empty if long."""
    if len(data) > MAX_BYTES:
        return b""
    at = data.find(_VERSION)
    return data[at:] if at >= 0 else b""
