"""Workers' schedules of this engine: their live triggers, kept in step with the store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from engine.core.deferred import Deferred
from engine.core.in_step import InStep, Stage
from engine.core.log_limit import LogLimit
from engine.core.protocol import DEFAULT_NAMESPACE
from engine.modules.cron.records import KnownSchedule, Settings
from engine.modules.cron.target import Target, Targets
from engine.modules.cron.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.core.engine import Engine
    from engine.core.triggers import Trigger
    from engine.modules.cron.store.store import CronStore

logger = logging.getLogger(__name__)

CHANGES_AT_ONCE: Final = 1_000
"""How many changes wait for the store, also where a worker has a hundred thousand schedules: the
clock, and whoever else needs the database, comes in between."""

COMPLAINT_INTERVAL_S: Final = 5.0


class LocalSchedule(InStep[Settings]):
    """A worker's schedule: triggers here that say the same are replicas, the newest is in charge.

    Args:
        owner: has all of them.
        schedule_id: its identity.
    """

    __slots__ = ("_owner", "_row", "_settings", "_target", "schedule_id")

    def __init__(self, owner: LocalSchedules, schedule_id: str) -> None:
        super().__init__()
        self.schedule_id = schedule_id
        self._owner = owner
        self._row = 0  # its id in the store, once that has answered
        self._settings: Settings | None = None
        self._target: Target | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the engine stops."""
        return self._owner.is_closed

    @property
    def target(self) -> Target | None:
        """How its function is called; None without triggers. Made when it is first due."""
        if self._target is None and self.newest is not None and self.wanted is not None:
            self._target = Target.of_trigger(self._owner.engine, self.newest, self.wanted)
        return self._target

    def retarget(self) -> None:
        """Call as the newest trigger says."""
        self._target = None

    def is_known(self, wanted: Settings) -> bool:
        """Tell whether the store has these settings."""
        return wanted == self._settings

    def attach(self, wanted: Settings) -> Deferred[KnownSchedule]:
        """Own it, with these settings."""
        self._settings = wanted
        store = self._owner.store
        return self._owner.throttle.run(lambda: store.attach(wanted))

    def on_attached(self, known: KnownSchedule) -> None:
        """Take what the store answers."""
        self.stage = Stage.ATTACHED
        self._row = known.id
        self._owner.attached(known)

    def detach(self) -> Deferred[None]:
        """Own it no longer; its worker may come back."""
        store, row = self._owner.store, self._row
        return self._owner.throttle.run(lambda: store.detach(row))

    def remove(self) -> Deferred[None]:
        """End it."""
        store, row = self._owner.store, self._row
        return self._owner.throttle.run(lambda: store.end(row))

    def on_removed(self, _: None) -> None:
        """Let the clock know: it waits for one time less."""
        self._owner.changed()

    def on_over(self) -> None:
        """Be forgotten."""
        self._owner.drop_if_over(self)

    def on_failure(self, error: Exception) -> None:
        """Say so, and attach it anew."""
        self._settings = None
        self._owner.complain(self, error)


class LocalSchedules(Targets):
    """The schedules of the workers that are connected here.

    Args:
        engine: calls their functions.
        store: where they outlive their workers.

    Attributes:
        engine: calls their functions.
        store: where they outlive their workers.
        throttle: through which it is changed.
        is_closed: whether the engine stops: its schedules are given up as those of a dead one.
        on_known: told what the store says of a schedule.
        on_change: called once after changes that came at once.
    """

    def __init__(self, engine: Engine, store: CronStore) -> None:
        self.store = store
        self.throttle = Throttle(CHANGES_AT_ONCE)
        self.is_closed = False
        self.on_known: Callable[[KnownSchedule], None] | None = None
        self.on_change: Callable[[], None] | None = None
        self.engine = engine
        self._loop = asyncio.get_running_loop()
        self._by_id: dict[str, LocalSchedule] = {}
        self._is_telling = False
        self._complaints = LogLimit(logger, COMPLAINT_INTERVAL_S)

    def add(self, trigger: Trigger, settings: Settings) -> None:
        """Bind a trigger to its schedule."""
        found = self._by_id.get(settings.schedule_id)
        if found is None:
            found = LocalSchedule(self, settings.schedule_id)
            self._by_id[settings.schedule_id] = found
        found.bind(trigger, settings)

    def remove(self, schedule_id: str, trigger: Trigger, *, keep: bool) -> None:
        """Take a trigger from its schedule; `keep` the schedule, if it was the last one."""
        self._by_id[schedule_id].unbind(trigger, keep=keep)

    def find(self, schedule: KnownSchedule) -> Target | None:
        """Return how a schedule's function is called here; None if it cannot be now."""
        settings = schedule.settings
        if schedule.is_persons:
            if self.can_run(settings.function_id, settings.namespace):
                return Target.of_person(self.engine, settings)
            return None
        local = self._by_id.get(settings.schedule_id)
        return None if local is None else local.target

    def can_run(self, function_id: str, namespace: str) -> bool:
        """Tell whether a function can be called here; from any thread."""
        return self.engine.functions.find(function_id, namespace or DEFAULT_NAMESPACE) is not None

    def attached(self, known: KnownSchedule) -> None:
        """Note what the store says of a schedule that is owned now."""
        if self.on_known is not None:
            self.on_known(known)
        self.changed()

    def changed(self) -> None:
        """Tell of changes, of all that come in one turn of the loop together."""
        if not self._is_telling and not self.is_closed:
            self._is_telling = True
            self._loop.call_soon(self._tell)

    def drop_if_over(self, schedule: LocalSchedule) -> None:
        """Forget a schedule that nothing here needs; the store keeps what it has."""
        if not schedule.is_settled_without_triggers:
            return
        if self._by_id.get(schedule.schedule_id) is schedule:
            del self._by_id[schedule.schedule_id]

    def complain(self, schedule: LocalSchedule, error: Exception) -> None:
        """Say that the store has not taken a change, once in a while."""
        self._complaints.warning(
            f"the schedule {schedule.schedule_id} is not written down yet: {error}",
            {"schedule_id": schedule.schedule_id},
        )

    def close(self) -> None:
        """Follow nothing more."""
        self.is_closed = True

    def _tell(self) -> None:
        self._is_telling = False
        if self.on_change is not None and not self.is_closed:
            self.on_change()
