"""Trigger types that the engine fires itself: functions and workers that come and go."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from engine.core.protocol import encode
from engine.core.triggers import Trigger, TriggerType
from engine.core.workers import WorkerEvent
from engine.modules.worker.entries import function_entry

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

# How often the set of function ids is compared with the one last told. SDKs expect a burst of
# registrations to arrive as one event.
POLL_INTERVAL_S: Final = 5.0


class EngineTriggerType(TriggerType):
    """A trigger type without options whose triggers all fire on each event."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.triggers: dict[Trigger, None] = {}

    def add(self, trigger: Trigger) -> None:
        """Fire the trigger from the next event on; its config is ignored."""
        self.triggers[trigger] = None

    def remove(self, trigger: Trigger) -> None:
        """Stop firing the trigger."""
        del self.triggers[trigger]

    def fire(self, trigger: Trigger, payload: bytes) -> None:
        """Call a trigger's function; a failure is logged, nobody waits."""
        future = self.engine.fire(trigger, payload)
        future.add_done_callback(lambda done: self._log_failure(trigger, done))

    def _log_failure(self, trigger: Trigger, done: asyncio.Future[bytes | None]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            logger.warning(
                "%s handler failed: %s",
                self.id,
                error,
                extra={"function_id": trigger.function_id, "trigger_id": trigger.id},
            )


class FunctionsAvailable(EngineTriggerType):
    """`engine::functions-available`: `{event: "functions_changed", functions: […]}`.

    The entries are those of `engine::functions::list`, unfiltered.
    """

    id = "engine::functions-available"
    description = "The set of registered functions has changed"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._told_revision = -1
        self._told: frozenset[tuple[str, str]] = frozenset()
        self._poll: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look for changes from now on, every POLL_INTERVAL_S seconds."""
        self._poll = asyncio.get_running_loop().call_later(POLL_INTERVAL_S, self._look)

    async def stop(self) -> None:
        """Look no more."""
        if self._poll is not None:
            self._poll.cancel()

    def _look(self) -> None:
        self.start()
        functions = self.engine.functions
        if functions.revision == self._told_revision:
            return
        self._told_revision = functions.revision
        ids = frozenset((each.namespace, each.id) for each in functions if each.alias_of is None)
        if ids == self._told:
            return
        self._told = ids
        self.announce()

    def announce(self) -> None:
        """Tell every handler the present functions, in the form that its SDK can read."""
        listed = [each for each in self.engine.functions if each.alias_of is None]
        payloads: dict[bool, bytes] = {}
        for trigger in list(self.triggers):
            is_old = reads_old_formats(trigger)
            if is_old not in payloads:
                entries = [function_entry(each, old_formats=is_old) for each in listed]
                payloads[is_old] = encode({"event": "functions_changed", "functions": entries})
            self.fire(trigger, payloads[is_old])


def reads_old_formats(trigger: Trigger) -> bool:
    """Tell whether a handler's SDK fails on JSON Schemas in function entries."""
    owner = trigger.owner
    return owner is not None and owner.info.runtime == "python" and owner.info.is_older_than(0, 10)


class WorkersAvailable(EngineTriggerType):
    """`engine::workers-available`: `{event, worker_id}` at once.

    `event` is `worker_connected`, `worker_disconnected` or `worker_metadata_updated`.
    """

    id = "engine::workers-available"
    description = "A worker has connected, introduced itself or disconnected"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        engine.workers.subscribe(self._on_event)

    def _on_event(self, event: WorkerEvent) -> None:
        if not self.triggers:
            return
        payload = encode({"event": event.event, "worker_id": event.worker_id})
        for trigger in list(self.triggers):
            self.fire(trigger, payload)
