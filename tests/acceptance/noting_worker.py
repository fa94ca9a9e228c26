"""A worker as a process of its own that notes what its functions get, and may be killed.

The engine's address, a prefix of the names of all that it registers and the file of its notes come
from the environment: `III_URL`, `PREFIX`, `NOTES`. It comes back to an engine that was gone. A note
is a line, written before the call is answered.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.processes import Process

_PATIENCE_S: Final = 0.05

Frames: TypeAlias = Callable[[str], Iterable[dict[str, Any]]]
"""What is sent for a prefix."""

MakeNote: TypeAlias = Callable[[str, Any], str]
"""The note of a call: of its function, without the prefix, and its data."""


class NotingWorker(Process):
    """The process, with its notes.

    Args:
        module: what it runs, which calls `serve`.
        url: where the engine is.
        prefix: of the names of all that it registers; several workers may share it.
        folder: keeps output and notes.
    """

    def __init__(self, module: str, url: str, prefix: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = folder / f"{prefix}.notes"
        self._notes.touch()
        environment = {"III_URL": url, "PREFIX": prefix, "NOTES": str(self._notes)}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        name = f"{module.rpartition('.')[2]}-{prefix}"
        super().__init__(name, [sys.executable, "-m", module], folder, environment)

    def has_noted(self, size: int) -> bool:
        """Say whether so many bytes of notes have been made."""
        return self._notes.stat().st_size >= size

    def noted(self) -> list[list[str]]:
        """Return the words of each note, in the order in which they were made."""
        return [line.split() for line in self._notes.read_text(encoding="ascii").splitlines()]


def serve(registrations: Frames, make_note: MakeNote, leave: Frames | None = None) -> None:
    """Serve until the process is killed or asked to stop.

    Args:
        registrations: sent at each connection.
        make_note: says what is noted of a call.
        leave: sent when it is asked to stop.
    """
    prefix = os.environ["PREFIX"]
    notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while True:
        try:
            with connect(os.environ["III_URL"], max_size=None, ping_interval=None) as connection:
                _send(connection, registrations(prefix))
                try:
                    _answer(connection, prefix, notes, make_note)
                except SystemExit:
                    _send(connection, () if leave is None else leave(prefix))
                    raise
        except (OSError, WebSocketException):
            time.sleep(_PATIENCE_S)


def _send(connection: ClientConnection, frames: Iterable[dict[str, Any]]) -> None:
    for frame in frames:
        connection.send(json.dumps(frame))


def _answer(connection: ClientConnection, prefix: str, notes: int, make_note: MakeNote) -> None:
    """Note what comes, and answer when nothing more is there: a kill meets many that are open."""
    answers: list[dict[str, Any]] = []
    while True:
        try:
            frame = json.loads(connection.recv(timeout=0 if answers else None))
        except TimeoutError:
            _send(connection, answers)
            answers.clear()
            continue
        if frame["type"] == "invokefunction":
            note = make_note(frame["function_id"].removeprefix(f"{prefix}::"), frame["data"])
            os.write(notes, f"{note}\n".encode())
            members = {name: frame[name] for name in ("invocation_id", "function_id")}
            answers.append({"type": "invocationresult", **members, "result": None})
