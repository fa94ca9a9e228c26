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

    @abstractmethod
    def send_run_ticks(self) -> None:
        """Ask for the due ticks that this engine may claim; returns at once, never raises.

        The executor answers by calling `engine::cron::run_ticks` with `{}`, which ends when they
        are claimed. What is asked for while such a task waits to be sent is one task.
        """

    @abstractmethod
    def wake_clock(self) -> None:
        """Say that schedules have changed: something may be due sooner; returns at once.

        Called after the commit, and only needed where the clock is a thread of this process: the
        transaction itself tells a clock elsewhere.
        """
