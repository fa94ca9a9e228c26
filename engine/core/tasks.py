"""Work that a task queue executes: what a module sends, and who may stand behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class TaskSender(ABC):
    """Sends tasks to whoever executes them: Celery, or the engine itself where there is none.

    A task may be lost or come twice; whoever sends it looks again after a while.
    """

    @abstractmethod
    def send_drain(self, subscriptions: Sequence[int]) -> None:
        """Ask for these queue subscriptions to be drained; returns at once, never raises.

        The executor answers by calling `engine::queue::drain` with `{"subscriptions": [ids]}`,
        which ends when the slice of the drain is over.
        """
