"""The trigger type `state`: functions that are called when an entry of the state has changed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.errors import TriggerRegistrationFailed
from engine.core.invocations import invocation_failed
from engine.core.protocol import NULL, RESULT, encode
from engine.core.triggers import Trigger, TriggerType
from kv.entries import Changed

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

BLOCKED: Final = b"false"

MAX_WAITING: Final = 10_000
"""How many changes of one key may wait for the condition of one trigger; the oldest are dropped."""

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


class Binding:
    """A trigger with what its config says.

    Attributes:
        trigger: whose function is called.
        condition: asked first, as a trigger of the same owner; None if there is none.
        waiting: by scope and key, the payloads that wait for the condition, the first being asked
            for: changes of one key reach the handler in their order.
    """

    __slots__ = ("condition", "trigger", "waiting")

    def __init__(self, trigger: Trigger, condition: Trigger | None) -> None:
        self.trigger = trigger
        self.condition = condition
        self.waiting: dict[tuple[str, str], deque[bytes]] = {}


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
        self._bindings: dict[tuple[str | None, str | None], dict[Trigger, Binding]] = {}
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
        condition = (
            replace(trigger, function_id=function_id, metadata=None) if function_id else None
        )
        place = (config.scope, config.key)
        self._bindings.setdefault(place, {})[trigger] = Binding(trigger, condition)
        self._place_of[trigger] = place
        self.has_triggers = True

    def remove(self, trigger: Trigger) -> None:
        """Call its function no more; changes that wait for its condition are dropped."""
        place = self._place_of.pop(trigger)
        bindings = self._bindings[place]
        bindings.pop(trigger).waiting.clear()
        if not bindings:
            del self._bindings[place]
        self.has_triggers = bool(self._bindings)

    def on_change(self, scope: str, key: str, changed: Changed) -> None:
        """Call every function whose trigger matches; nothing is called if nothing was there."""
        if changed.old is None and changed.new is None:
            return
        payload = b""
        for place in ((scope, key), (scope, None), (None, key), (None, None)):
            for binding in list(self._bindings.get(place, _NONE).values()):
                payload = payload or _payload(scope, key, changed)
                self._fire(binding, (scope, key), payload)

    def _fire(self, binding: Binding, place: tuple[str, str], payload: bytes) -> None:
        if binding.condition is None:
            self._call(binding.trigger, payload)
            return
        waiting = binding.waiting.get(place)
        if waiting is None:
            binding.waiting[place] = deque([payload])
            self._ask(binding, place)
        else:
            waiting.append(payload)
            if len(waiting) > MAX_WAITING:
                del waiting[1]  # the first is being asked for
                logger.warning(
                    "a condition does not keep up, a state change is dropped",
                    extra={"trigger_id": binding.trigger.id},
                )

    def _ask(self, binding: Binding, place: tuple[str, str]) -> None:
        """Ask the condition about the first payload that waits."""
        assert binding.condition is not None
        payload = binding.waiting[place][0]
        future = self._engine.fire(binding.condition, payload)
        future.add_done_callback(lambda done: self._decide(binding, place, payload, done))

    def _decide(
        self,
        binding: Binding,
        place: tuple[str, str],
        payload: bytes,
        done: asyncio.Future[bytes | None],
    ) -> None:
        waiting = binding.waiting.get(place)
        if not waiting:  # the trigger has gone meanwhile
            return
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.warning(
                "state condition failed, its handler is not called: %s",
                error,
                extra={"trigger_id": binding.trigger.id},
            )
        elif not done.cancelled() and (done.result() or NULL).strip() != BLOCKED:
            self._call(binding.trigger, payload)
        waiting.popleft()
        if waiting:
            self._ask(binding, place)
        else:
            del binding.waiting[place]

    def _call(self, trigger: Trigger, payload: bytes) -> None:
        def reply(kind: bytes, value: bytes | msgspec.Raw) -> None:
            if kind is not RESULT:
                logger.warning(
                    "state handler failed: %s",
                    invocation_failed(bytes(value)),
                    extra={"function_id": trigger.function_id, "trigger_id": trigger.id},
                )

        self._engine.fire_and_reply(trigger, payload, reply, None, None)


_NONE: Final[dict[Trigger, Binding]] = {}


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
