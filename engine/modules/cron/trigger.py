"""The trigger type `cron`: functions that are called at the times of an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import encode
from engine.core.triggers import Trigger, TriggerType
from engine.modules.cron.errors import CronError
from engine.modules.cron.records import Settings
from engine.modules.cron.schemas import PAYLOAD_SCHEMA, SETTINGS_SCHEMA
from engine.modules.cron.settings import read_members, read_settings

if TYPE_CHECKING:
    from engine.modules.cron.schedules import LocalSchedules

CONFIG_SCHEMA: Final = encode(SETTINGS_SCHEMA)


class CronTriggerType(TriggerType):
    """Binds functions to schedules, which outlive the workers that make them.

    Args:
        schedules: knows the schedules that are live here.
    """

    id = "cron"
    description = "Calls by the clock: each time at most once, and what became of it is kept"
    trigger_request_format = CONFIG_SCHEMA
    call_request_format = encode(PAYLOAD_SCHEMA)

    def __init__(self, schedules: LocalSchedules) -> None:
        self._schedules = schedules
        self._ids: dict[Trigger, str] = {}

    def add(self, trigger: Trigger) -> None:
        """Call the trigger's function from the next time on that its expression names."""
        settings = _read_config(trigger)
        self._ids[trigger] = settings.schedule_id
        self._schedules.add(trigger, settings)

    def remove(self, trigger: Trigger) -> None:
        """End it; with the last trigger of its schedule, the schedule ends."""
        self._schedules.remove(self._ids.pop(trigger), trigger, keep=False)

    def detach(self, trigger: Trigger) -> None:
        """Keep its schedule: the worker may come back, and its ticks say that it was away."""
        self._schedules.remove(self._ids.pop(trigger), trigger, keep=True)


def _read_config(trigger: Trigger) -> Settings:
    namespace = trigger.owner_namespace if trigger.namespace is None else trigger.namespace
    try:
        return read_settings(
            read_members(trigger.config), function_id=trigger.function_id, namespace=namespace
        )
    except CronError as error:
        raise TriggerRegistrationFailed(
            f"cron trigger {trigger.id}: bad config: {error}"
        ) from error
