"""The trigger type `state`: functions that are called when an entry of the state has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.condition_gate import ConditionGate
from engine.core.errors import TriggerRegistrationFailed
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerType
from kv.entries import Changed
from kv.stores.base import Key

if TYPE_CHECKING:
    from engine.core.engine import Engine

CONFIG_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "scope": {"type": "string", "description": "only changes of this scope"},
            "key": {"type": "string", "description": "only changes of this key"},
            "condition_function_id": {
                "type": "string",
                "description": "asked first, with the same payload; only false blocks",
            },
        },
    }
)
CALL_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "type": {"const": "state"},
            "event_type": {"enum": ["state:created", "state:updated", "state:deleted"]},
            "scope": {"type": "string"},
            "key": {"type": "string"},
            "old_value": {},
            "new_value": {},
        },
    }
)


class StateTriggerConfig(msgspec.Struct):
    """The config of one trigger; an absent filter matches everything."""

    scope: str | None = None
    key: str | None = None
    condition_function_id: str | None = None
    condition_path: str | None = msgspec.field(default=None, name="_condition_path")


class StateTriggerType(TriggerType):
    """Calls functions after changes; the writer waits for none of them.

    Attributes:
        has_triggers: whether there is anybody to call.
    """

    id = "state"
    description = "Changes of entries of the state"
    trigger_request_format = CONFIG_SCHEMA
    call_request_format = CALL_SCHEMA

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.has_triggers = False
        self._bindings: dict[tuple[str | None, str | None], dict[Trigger, ConditionGate]] = {}
        self._place_of: dict[Trigger, tuple[str | None, str | None]] = {}

    def add(self, trigger: Trigger) -> None:
        """Call the trigger's function from the next change on."""
        text = b"{}" if trigger.config.strip() in {b"", NULL} else trigger.config
        try:
            config = msgspec.json.decode(text, type=StateTriggerConfig)
        except msgspec.DecodeError as error:
            raise TriggerRegistrationFailed(
                f"state trigger {trigger.id}: bad config: {error}"
            ) from error
        function_id = config.condition_function_id or config.condition_path
        place = (config.scope, config.key)
        gate = ConditionGate(self._engine, trigger, function_id)
        self._bindings.setdefault(place, {})[trigger] = gate
        self._place_of[trigger] = place
        self.has_triggers = True

    def remove(self, trigger: Trigger) -> None:
        """Call its function no more; changes that wait for its condition are dropped."""
        place = self._place_of.pop(trigger)
        bindings = self._bindings[place]
        bindings.pop(trigger).close()
        if not bindings:
            del self._bindings[place]
        self.has_triggers = bool(self._bindings)

    def on_change(self, key: Key, changed: Changed) -> None:
        """Call every function whose trigger matches; nothing is called if nothing was there."""
        if changed.old is None and changed.new is None:
            return
        payload = b""
        scope, name = key
        for place in ((scope, name), (scope, None), (None, name), (None, None)):
            for gate in list(self._bindings.get(place, _NONE).values()):
                payload = payload or _payload(scope, name, changed)
                gate.fire(key, payload)


_NONE: Final[dict[Trigger, ConditionGate]] = {}


def _payload(scope: str, key: str, changed: Changed) -> bytes:
    old, new = changed.old, changed.new
    event = b"deleted" if new is None else b"created" if old is None else b"updated"
    return (
        b'{"type":"state","event_type":"state:%b","scope":%b,"key":%b,'
        b'"old_value":%b,"new_value":%b}'
    ) % (
        event,
        encode(scope),
        encode(key),
        NULL if old is None else old.value,
        NULL if new is None else new.value,
    )
