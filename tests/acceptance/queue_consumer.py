"""A worker that gets messages out of queues: `python -m tests.acceptance.queue_consumer`.

A note is `function number group`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.acceptance.noting_worker import NotingWorker, serve

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


class Consumer(NotingWorker):
    """The process, with its notes; see `NotingWorker`."""

    def __init__(self, url: str, prefix: str, folder: Path) -> None:
        super().__init__("tests.acceptance.queue_consumer", url, prefix, folder)

    def notes(self) -> list[Note]:
        """Return all notes, in the order in which they were made."""
        return [Note(function, int(number), group) for function, number, group in self.noted()]


def _registrations(prefix: str) -> Iterator[dict[str, Any]]:
    for function, subscription in _SUBSCRIPTIONS.items():
        function_id = f"{prefix}::{function}"
        yield {"type": "registerfunction", "id": function_id}
        if subscription is not None:
            topic, options = subscription
            yield {
                "type": "registertrigger",
                "id": function_id,
                "trigger_type": "queue",
                "function_id": function_id,
                "config": {"topic": f"{prefix}-{topic}", "queue_config": options},
            }


def _note(function: str, data: Any) -> str:
    return f"{function} {data['number']} {data['group']}"


if __name__ == "__main__":
    serve(_registrations, _note)
