"""The registry of connected workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.core.session import WorkerSession


class WorkerEvent:
    """Something that happened to a worker.

    `event` is `worker_connected`, `worker_disconnected` or `worker_metadata_updated`.
    """

    __slots__ = ("event", "worker_id")

    def __init__(self, event: str, worker_id: str) -> None:
        self.event = event
        self.worker_id = worker_id


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
        told = WorkerEvent(event, session.worker_id)
        for listener in self._listeners:
            listener(told)
