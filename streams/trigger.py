"""The trigger type `stream`: functions that are called when something happens in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from engine.core.condition_gate import ConditionGate
from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerType
from streams.history import Event

if TYPE_CHECKING:
    from engine.core.engine import Engine

CONDITION_SCHEMA: Final = {
    "type": "string",
    "description": "asked first, with the same payload; only false blocks",
}
CONFIG_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "stream_name": {"type": "string", "description": "only events of this stream"},
            "group_id": {"type": "string", "description": "only events of this group"},
            "item_id": {"type": "string", "description": "only events of this item"},
            "condition_function_id": CONDITION_SCHEMA,
        },
    }
)
CALL_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "type": {"const": "stream"},
            "timestamp": {"type": "integer", "description": "Unix milliseconds"},
            "streamName": {"type": "string"},
            "groupId": {"type": "string"},
            "id": {"type": ["string", "null"]},
            "event": {
                "type": "object",
                "properties": {"type": {"enum": ["create", "update", "delete", "event"]}},
            },
            "seq": {"type": "integer", "description": "grows with every event of the group"},
        },
    }
)

Filter: TypeAlias = tuple[str | None, str | None, str | None]
"""Stream, group and item; None matches everything."""


class StreamTriggerConfig(msgspec.Struct):
    """The config of one trigger; an absent or empty filter matches everything."""

    stream_name: str | None = None
    group_id: str | None = None
    item_id: str | None = None
    condition_function_id: str | None = None
    condition_path: str | None = msgspec.field(default=None, name="_condition_path")

    @property
    def filter(self) -> Filter:
        """What has to be equal."""
        return self.stream_name or None, self.group_id or None, self.item_id or None

    @property
    def condition_id(self) -> str | None:
        """The function that is asked first."""
        return self.condition_function_id or self.condition_path


def read_config(trigger: Trigger) -> StreamTriggerConfig:
    """Decode the config of a trigger of this module.

    Raises:
        TriggerRegistrationFailed: it is malformed.
    """
    text = b"{}" if trigger.config.strip() in {b"", NULL} else trigger.config
    try:
        return msgspec.json.decode(text, type=StreamTriggerConfig)
    except msgspec.DecodeError as error:
        raise TriggerRegistrationFailed(
            f"{trigger.trigger_type} trigger {trigger.id}: bad config: {error}"
        ) from error


class StreamTriggerType(TriggerType):
    """Calls functions with the envelopes of events; nobody waits for them.

    Attributes:
        has_triggers: whether there is anybody to call.
    """

    id = "stream"
    description = "Events of streams: items created, updated, deleted, and what is sent"
    trigger_request_format = CONFIG_SCHEMA
    call_request_format = CALL_SCHEMA

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.has_triggers = False
        self._gates: dict[Filter, dict[Trigger, ConditionGate]] = {}
        self._filter_of: dict[Trigger, Filter] = {}

    def add(self, trigger: Trigger) -> None:
        """Call the trigger's function from the next event on."""
        config = read_config(trigger)
        gate = ConditionGate(self._engine, trigger, config.condition_id)
        self._gates.setdefault(config.filter, {})[trigger] = gate
        self._filter_of[trigger] = config.filter
        self.has_triggers = True

    def remove(self, trigger: Trigger) -> None:
        """Call its function no more; events that wait for its condition are dropped."""
        place = self._filter_of.pop(trigger)
        gates = self._gates[place]
        gates.pop(trigger).close()
        if not gates:
            del self._gates[place]
        self.has_triggers = bool(self._gates)

    def on_event(self, name: tuple[str, str], event: Event) -> None:
        """Call every function whose trigger matches, in the order of the events of a group."""
        for place in _filters(name, event.item_id):
            for gate in list(self._gates.get(place, _NONE).values()):
                gate.fire(name, event.frame)


_NONE: Final[dict[Trigger, ConditionGate]] = {}


def _filters(name: tuple[str, str], item_id: str | None) -> list[Filter]:
    """Return all filters that an event matches, the narrowest first."""
    streams = (name[0], None)
    groups = (name[1], None)
    items = (None,) if item_id is None else (item_id, None)
    return [(stream, group, item) for stream in streams for group in groups for item in items]
