"""A worker whose functions the clock calls: `python -m tests.acceptance.cron_worker`.

A note is `number scheduled_at`. Asked to stop it takes its triggers back first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.acceptance.cron_schedule import unix_ms
from tests.acceptance.noting_worker import NotingWorker, serve

SCHEDULES: Final = 20

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


class CronWorker(NotingWorker):
    """The process, with its notes; see `NotingWorker`."""

    def __init__(self, url: str, prefix: str, folder: Path) -> None:
        super().__init__("tests.acceptance.cron_worker", url, prefix, folder)

    def notes(self) -> list[Note]:
        """Return all notes, in the order in which they were made."""
        return [Note(*map(int, words)) for words in self.noted()]


def schedule_id(prefix: str, number: int) -> str:
    """Return the id of a schedule, which is that of its function, too."""
    return f"{prefix}::{number}"


def _registrations(prefix: str) -> Iterator[dict[str, Any]]:
    for number in range(SCHEDULES):
        function_id = schedule_id(prefix, number)
        yield {"type": "registerfunction", "id": function_id}
        config = {"expression": "* * * * * * *", "schedule_id": function_id}
        yield {
            "type": "registertrigger",
            "id": function_id,
            "trigger_type": "cron",
            "function_id": function_id,
            "config": config | _OPTIONS[number % len(_OPTIONS)],
        }


def _withdrawals(prefix: str) -> Iterator[dict[str, Any]]:
    for number in range(SCHEDULES):
        yield {"type": "unregistertrigger", "id": schedule_id(prefix, number)}


def _note(function: str, data: Any) -> str:
    return f"{function} {unix_ms(data['scheduled_time'])}"


if __name__ == "__main__":
    serve(_registrations, _note, _withdrawals)
