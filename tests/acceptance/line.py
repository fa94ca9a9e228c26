"""A TCP line between workers and the engine that can fail in the middle."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 65_536
# How often an engine that is not there is looked for, and how long.
_LOOK_EVERY_S: Final = 0.05
_PATIENCE_S: Final = 60


class Line:
    """Forwards connections to the engine's port, each by two threads.

    After `cut` the workers have lost their connections and the engine has not noticed, until
    `drop` ends its side too. New connections pass all the time; while no engine is there they
    wait for one.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._worker_sides: list[socket.socket] = []
        self._engine_sides: list[socket.socket] = []
        self._cut: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._accept, name="line", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        with self._lock:
            for side in (self._listener, *self._worker_sides, *self._engine_sides):
                _end(side)

    @property
    def url(self) -> str:
        """The address for workers."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End the workers' side of every connection and keep the engine's side open."""
        with self._lock:
            self._cut.update(self._engine_sides)
            for side in self._worker_sides:
                _end(side)
            self._worker_sides.clear()

    def drop(self) -> None:
        """End the engine's side of the connections that were cut."""
        with self._lock:
            for side in self._cut:
                _end(side)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                worker_side, _ = self._listener.accept()
                engine_side = self._reach_engine()
                with self._lock:
                    self._worker_sides.append(worker_side)
                    self._engine_sides.append(engine_side)
                for pair in ((worker_side, engine_side), (engine_side, worker_side)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _reach_engine(self) -> socket.socket:
        """Connect to the engine; wait for it as long as this line is used."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self._target))
            except ConnectionRefusedError:
                if self._closed.wait(_LOOK_EVERY_S) or time.monotonic() > deadline:
                    raise

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                target.sendall(chunk)
        with self._lock:
            if target not in self._cut:
                _end(target)


def _end(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
