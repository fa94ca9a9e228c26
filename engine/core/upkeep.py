"""What a module has to look at now and then, in one task of its own."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from time import monotonic
from typing import Final

from engine.core.errors import EngineError
from engine.core.log_limit import LogLimit

COMPLAINT_INTERVAL_S: Final = 30.0


class Upkeep(ABC):
    """Looks again and again; a look that fails ends nothing.

    Args:
        what: is looked after, for the log: `queues`.
        logger: where failures are told.
    """

    def __init__(self, what: str, logger: logging.Logger) -> None:
        self._what = what
        self._logger = logger
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)
        self._task: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def interval_s(self) -> float:
        """From the end of a look to the next one."""

    @abstractmethod
    async def look(self, now: float) -> None:
        """See to what is due; `now` counts seconds from an arbitrary start."""

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.look(monotonic())
            except EngineError as error:
                self._complaints.warning(
                    f"{self._what} were not looked after, next try soon: {error}"
                )
            except Exception:  # what nobody has foreseen must not end it
                self._logger.exception("%s could not be looked after", self._what)
            await asyncio.sleep(self.interval_s)
