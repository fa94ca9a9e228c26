"""The registry of connected workers and what they say about themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from engine.core.session import WorkerSession

MAX_DESCRIPTION: Final = 280  # characters, as SDKs expect it to be cut

# Python SDKs before 0.24.5 close their socket (1009) on a message over 1 MiB, and the call hangs.
SMALL_FRAME_LIMIT: Final = 1024 * 1024
FRAME_LIMIT: Final = 64 * 1024 * 1024
_FIRST_LARGE_PYTHON: Final = (0, 24, 5)


class WorkerInfo(msgspec.Struct, frozen=True):
    """What a worker reports in `engine::workers::register`; every member may be missing."""

    runtime: str | None = None
    version: str | None = None
    name: str | None = None
    os: str | None = None
    pid: int | None = None
    isolation: str | None = None
    description: str | None = None
    namespace: str | None = None
    telemetry: Any = None

    @property
    def version_key(self) -> tuple[int, ...]:
        """The SDK version as numbers, `()` if it says none."""
        return parse_version(self.version)

    @property
    def frame_limit(self) -> int:
        """The largest message in bytes that this SDK reads."""
        version = self.version_key
        if self.runtime == "python" and version and version < _FIRST_LARGE_PYTHON:
            return SMALL_FRAME_LIMIT
        return FRAME_LIMIT

    @property
    def reads_strictly(self) -> bool:
        """Whether it drops frames with extreme numbers or nesting instead of answering."""
        return self.runtime == "rust"

    def is_older_than(self, *version: int) -> bool:
        """Tell whether the SDK says a version below this one; unknown versions are not older."""
        own = self.version_key
        return bool(own) and own < version


def parse_version(text: str | None) -> tuple[int, ...]:
    """Return the leading numbers of a version: `0.11.6.dev3` is (0, 11, 6)."""
    match = re.match(r"\d+(?:\.\d+){0,3}", text or "")
    return tuple(int(part) for part in match.group().split(".")) if match else ()


UNKNOWN_WORKER: Final = WorkerInfo()


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """Something that happened to a worker.

    `event` is `worker_connected`, `worker_disconnected` or `worker_metadata_updated`.
    """

    event: str
    worker_id: str


class WorkerRegistry:
    """The connected workers by id, in the order of their coming.

    A connection counts as a worker from its first message on: SDKs open silent extra sockets for
    telemetry, which are none. An internal connection never does.
    """

    def __init__(self) -> None:
        self._workers: dict[str, WorkerSession] = {}
        self._connections: dict[str, WorkerSession] = {}
        self._listeners: list[Callable[[WorkerEvent], None]] = []

    def __iter__(self) -> Iterator[WorkerSession]:
        return iter(list(self._workers.values()))

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def connections(self) -> list[WorkerSession]:
        """Every open connection, silent ones included."""
        return list(self._connections.values())

    def find(self, worker_id: str) -> WorkerSession | None:
        """Return an open connection, a worker or still silent, by its id."""
        return self._connections.get(worker_id)

    def subscribe(self, listener: Callable[[WorkerEvent], None]) -> None:
        """Tell a listener of every worker that comes, goes or introduces itself."""
        self._listeners.append(listener)

    def connected(self, session: WorkerSession) -> None:
        """Remember an open connection."""
        self._connections[session.worker_id] = session

    def appeared(self, session: WorkerSession) -> None:
        """Count a connection as a worker: it has spoken."""
        if session.is_internal:
            return
        self._workers[session.worker_id] = session
        self._tell("worker_connected", session)

    def introduced(self, session: WorkerSession) -> None:
        """Tell that a worker has reported its metadata."""
        if session.is_internal:
            return
        self._tell("worker_metadata_updated", session)

    def disconnected(self, session: WorkerSession) -> None:
        """Forget a connection."""
        self._connections.pop(session.worker_id, None)
        if self._workers.pop(session.worker_id, None) is not None:
            self._tell("worker_disconnected", session)

    def _tell(self, event: str, session: WorkerSession) -> None:
        for listener in self._listeners:
            listener(WorkerEvent(event, session.worker_id))
