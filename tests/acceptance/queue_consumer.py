"""A worker as a process of its own that notes what it gets out of queues, and may be killed.

`python -m tests.acceptance.queue_consumer`: the engine's address, a prefix of the names of all that
it registers and the file of its notes come from the environment: `III_URL`, `PREFIX`, `NOTES`. It
comes back to an engine that was gone. A note is a line `function number group`, written before the
message is answered for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.processes import Process

_PATIENCE_S: Final = 0.05
_RETRIES: Final = {"maxRetries": 30, "backoffType": "fixed", "backoffDelayMs": 20}

# What each function subscribes to; the last one is called out of a named queue.
_SUBSCRIPTIONS: Final[dict[str, tuple[str, dict[str, Any]] | None]] = {
    "first": ("standard", _RETRIES),
    "second": ("standard", _RETRIES),
    "ordered": ("fifo", {**_RETRIES, "type": "fifo", "concurrency": 8}),
    "named": None,
}


class Note(NamedTuple):
    """A message that a function has got."""

    function: str
    number: int
    group: str


class Consumer(Process):
    """The process, with its notes.

    Args:
        url: where the engine is.
        prefix: of the names of its functions and topics.
        folder: keeps output and notes.
    """

    def __init__(self, url: str, prefix: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = folder / f"{prefix}.notes"
        self._notes.touch()
        environment = {"III_URL": url, "PREFIX": prefix, "NOTES": str(self._notes)}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-m", "tests.acceptance.queue_consumer"]
        super().__init__(f"consumer-{prefix}", command, folder, environment)

    def has_noted(self, size: int) -> bool:
        """Say whether so many bytes of notes have been made."""
        return self._notes.stat().st_size >= size

    def notes(self) -> list[Note]:
        """Return all notes, in the order in which they were made."""
        lines = self._notes.read_text(encoding="ascii").splitlines()
        return [Note(line[0], int(line[1]), line[2]) for line in map(str.split, lines)]


def main() -> None:
    """Serve until the process is killed."""
    prefix = os.environ["PREFIX"]
    notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND)
    while True:
        try:
            with connect(os.environ["III_URL"], max_size=None, ping_interval=None) as connection:
                _register(connection, prefix)
                _serve(connection, prefix, notes)
        except (OSError, WebSocketException):
            time.sleep(_PATIENCE_S)


def _register(connection: ClientConnection, prefix: str) -> None:
    for function, subscription in _SUBSCRIPTIONS.items():
        function_id = f"{prefix}::{function}"
        connection.send(json.dumps({"type": "registerfunction", "id": function_id}))
        if subscription is not None:
            topic, options = subscription
            trigger = {
                "type": "registertrigger",
                "id": function_id,
                "trigger_type": "queue",
                "function_id": function_id,
                "config": {"topic": f"{prefix}-{topic}", "queue_config": options},
            }
            connection.send(json.dumps(trigger))


def _serve(connection: ClientConnection, prefix: str, notes: int) -> None:
    """Note what comes, and answer when nothing more is there: a kill meets many that are open."""
    answers: list[str] = []
    while True:
        try:
            frame = json.loads(connection.recv(timeout=0 if answers else None))
        except TimeoutError:
            for answer in answers:
                connection.send(answer)
            answers.clear()
            continue
        if frame["type"] == "invokefunction":
            function, data = frame["function_id"].removeprefix(f"{prefix}::"), frame["data"]
            os.write(notes, f"{function} {data['number']} {data['group']}\n".encode())
            members = {name: frame[name] for name in ("invocation_id", "function_id")}
            answers.append(json.dumps({"type": "invocationresult", **members, "result": None}))


if __name__ == "__main__":
    main()
