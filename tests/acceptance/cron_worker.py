"""A worker as a process of its own whose functions the clock calls, and which may be killed.

`python -m tests.acceptance.cron_worker`: the engine's address, a prefix of the names of all that it
registers and the file of its notes come from the environment: `III_URL`, `PREFIX`, `NOTES`. It
comes back to an engine that was gone. A note is a line `number scheduled_at`, written before the
call is answered. Asked to stop it takes its triggers back first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.cron_schedule import unix_ms
from tests.acceptance.processes import Process

SCHEDULES: Final = 20

_PATIENCE_S: Final = 0.05

# What the schedules differ in, in turn.
_OPTIONS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"overlap": "allow"},
    {"misfire": "once"},
    {"overlap": "allow", "misfire": "once"},
)


class Note(NamedTuple):
    """A call that a function has got; its time in Unix ms."""

    number: int
    scheduled_at: int


class CronWorker(Process):
    """The process, with its notes.

    Args:
        url: where the engine is.
        prefix: of the names of its functions and schedules; several workers may share it.
        folder: keeps output and notes.
    """

    def __init__(self, url: str, prefix: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = folder / f"{prefix}.notes"
        self._notes.touch()
        environment = {"III_URL": url, "PREFIX": prefix, "NOTES": str(self._notes)}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-m", "tests.acceptance.cron_worker"]
        super().__init__(f"cron-worker-{prefix}", command, folder, environment)

    def notes(self) -> list[Note]:
        """Return all notes, in the order in which they were made."""
        lines = self._notes.read_text(encoding="ascii").splitlines()
        return [Note(*map(int, line.split())) for line in lines]


def schedule_id(prefix: str, number: int) -> str:
    """Return the id of a schedule, which is that of its function, too."""
    return f"{prefix}::{number}"


def main() -> None:
    """Serve until the process is killed or asked to stop."""
    prefix = os.environ["PREFIX"]
    notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while True:
        try:
            with connect(os.environ["III_URL"], max_size=None, ping_interval=None) as connection:
                _register(connection, prefix)
                try:
                    _serve(connection, prefix, notes)
                except SystemExit:
                    _unregister(connection, prefix)
                    raise
        except (OSError, WebSocketException):
            time.sleep(_PATIENCE_S)


def _register(connection: ClientConnection, prefix: str) -> None:
    for number in range(SCHEDULES):
        function_id = schedule_id(prefix, number)
        connection.send(json.dumps({"type": "registerfunction", "id": function_id}))
        config = {"expression": "* * * * * * *", "schedule_id": function_id}
        trigger = {
            "type": "registertrigger",
            "id": function_id,
            "trigger_type": "cron",
            "function_id": function_id,
            "config": config | _OPTIONS[number % len(_OPTIONS)],
        }
        connection.send(json.dumps(trigger))


def _unregister(connection: ClientConnection, prefix: str) -> None:
    for number in range(SCHEDULES):
        gone = {"type": "unregistertrigger", "id": schedule_id(prefix, number)}
        connection.send(json.dumps(gone))


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
            number = frame["function_id"].removeprefix(f"{prefix}::")
            scheduled_at = unix_ms(frame["data"]["scheduled_time"])
            os.write(notes, f"{number} {scheduled_at}\n".encode())
            members = {name: frame[name] for name in ("invocation_id", "function_id")}
            answers.append(json.dumps({"type": "invocationresult", **members, "result": None}))


if __name__ == "__main__":
    main()
