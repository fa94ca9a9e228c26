"""A transport that keeps a response's head back until its body comes: one system call for both."""

from __future__ import annotations

import asyncio
from typing import Any, Final

JOINED_UP_TO: Final = 64 * 1024
"""Copying a larger body, in bytes, costs more than the system call that it saves."""

_NO_HEAD: Final = b""


class HeadAndBody:
    """What uvicorn's HTTP protocol writes to instead of the transport itself.

    uvicorn writes head and body of a response one after the other, and each write is a system
    call: a fifth of what a small answer costs. A head that is followed by nothing leaves at the
    end of the loop's tick.
    """

    __slots__ = ("_head", "_is_at_start", "_loop", "transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._head = _NO_HEAD
        self._is_at_start = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def response_begins(self) -> None:
        """Take what is written next for the head of a response."""
        self._is_at_start = True

    def write(self, data: bytes) -> None:
        """Hold a head back; write anything else, behind the head that waits for it."""
        if self._is_at_start:
            self._is_at_start = False
            self._head = data
            self._loop.call_soon(self._flush)
        elif self._head and len(data) <= JOINED_UP_TO:
            head, self._head = self._head, _NO_HEAD
            self.transport.write(head + data)
        else:
            self._flush()
            self.transport.write(data)

    def close(self) -> None:
        """Close the connection, behind what is held back."""
        self._flush()
        self.transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self.transport.is_closing()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, _NO_HEAD
            if not self.transport.is_closing():
                self.transport.write(head)
