"""Work that a task queue executes: what a module sends, and who may stand behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

LOST_AFTER_S: Final = 2.0
"""After this time a task that was sent and has not begun counts as lost."""

MOST_PATIENCE: Final = 8
"""How many times longer that becomes while none begins: whoever executes tasks may be away, and
what is sent meanwhile waits for it at the broker."""


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


class TaskPatience:
    """How long whoever sends a task waits for it to begin, until it sends it again."""

    def __init__(self) -> None:
        self._times = 1

    @property
    def limit_s(self) -> float:
        """After how many seconds a task counts as lost."""
        return LOST_AFTER_S * self._times

    def note_lost(self) -> None:
        """Be more patient with the next one."""
        self._times = min(self._times * 2, MOST_PATIENCE)

    def note_begun(self) -> bool:
        """Be as impatient as at first: tasks are executed; return whether that is a change."""
        was_longer = self._times > 1
        self._times = 1
        return was_longer
