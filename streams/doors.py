"""The trigger types of clients that come and go: `stream:join`, which may refuse, and `…:leave`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.core.condition_gate import blocks
from engine.core.errors import EngineError
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerType
from streams.trigger import CONDITION_SCHEMA, read_config

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)

HANDLER_LIMIT_S: Final = 30.0
"""How long a client waits for one handler; after that, it counts as failed."""

CONFIG_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "stream_name": {"type": "string", "description": "only clients of this stream"},
            "condition_function_id": CONDITION_SCHEMA,
        },
    }
)
CALL_SCHEMA: Final = encode(
    {
        "type": "object",
        "properties": {
            "subscription_id": {"type": "string"},
            "stream_name": {"type": "string"},
            "group_id": {"type": "string"},
            "id": {"type": ["string", "null"]},
            "context": {"description": "what the auth function has answered, or null"},
        },
    }
)


class JoinAnswer(msgspec.Struct):
    """What is read of a join handler's answer."""

    unauthorized: Any = None


class Door(TriggerType):
    """One of the two types; its handlers are called one after the other.

    Args:
        engine: calls the handlers.
        name: `join` or `leave`.
    """

    trigger_request_format = CONFIG_SCHEMA
    call_request_format = CALL_SCHEMA

    def __init__(self, engine: Engine, name: str, description: str) -> None:
        self.id = f"stream:{name}"
        self.aliases = (f"streams:{name}",)
        self.description = description
        self._engine = engine
        self._bindings: dict[Trigger, tuple[str | None, Trigger | None]] = {}

    def add(self, trigger: Trigger) -> None:
        """Call the trigger's function from the next client on."""
        config = read_config(trigger)
        condition = (
            replace(trigger, function_id=config.condition_id, metadata=None)
            if config.condition_id
            else None
        )
        self._bindings[trigger] = (config.stream_name or None, condition)

    def remove(self, trigger: Trigger) -> None:
        """Call its function no more."""
        del self._bindings[trigger]

    def is_watched(self, stream_name: str) -> bool:
        """Tell whether any handler has to be called for a client of this stream."""
        return any(name in {None, stream_name} for name, _ in self._bindings.values())

    async def pass_through(self, stream_name: str, payload: bytes) -> bool:
        """Call all handlers, one after the other; False if any says `{"unauthorized": true}`.

        One that fails, or takes longer than HANDLER_LIMIT_S, does not keep anybody out.
        """
        is_welcome = True
        for trigger, (name, condition) in list(self._bindings.items()):
            if name not in {None, stream_name}:
                continue
            try:
                async with asyncio.timeout(HANDLER_LIMIT_S):
                    answer = await self._ask(trigger, condition, payload)
            except (EngineError, TimeoutError) as error:
                logger.warning(
                    "%s handler failed: %s",
                    self.id,
                    str(error) or f"no answer within {HANDLER_LIMIT_S:g} s",
                    extra={"function_id": trigger.function_id, "trigger_id": trigger.id},
                )
            else:
                is_welcome = is_welcome and not _is_refusal(answer)
        return is_welcome

    async def _ask(
        self, trigger: Trigger, condition: Trigger | None, payload: bytes
    ) -> bytes | None:
        if condition is not None and blocks(await self._engine.fire(condition, payload)):
            return None
        return await self._engine.fire(trigger, payload)


def _is_refusal(answer: bytes | None) -> bool:
    try:
        return msgspec.json.decode(answer or b"{}", type=JoinAnswer).unauthorized is True
    except msgspec.DecodeError:  # no object: everything but a refusal lets in
        return False


def door_payload(
    subscription_id: str, name: tuple[str, str], item_id: str | None, context: bytes
) -> bytes:
    """Return what the handlers get; `context` is JSON text."""
    return b'{"subscription_id":%b,"stream_name":%b,"group_id":%b,"id":%b,"context":%b}' % (
        encode(subscription_id),
        encode(name[0]),
        encode(name[1]),
        NULL if item_id is None else encode(item_id),
        context,
    )
