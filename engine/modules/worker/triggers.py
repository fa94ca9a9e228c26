"""`engine::register_trigger` and `engine::unregister_trigger`: triggers that belong to nobody."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.errors import InvalidArguments, TriggerRegistrationFailed
from engine.core.functions import Call
from engine.core.invocations import invocation_failed
from engine.core.payloads import read_payload
from engine.core.protocol import NULL, encode
from engine.core.triggers import Trigger, TriggerState

if TYPE_CHECKING:
    from engine.core.engine import Engine

# How long a provider may take to answer before the trigger counts as registered all the same.
PROVIDER_TIMEOUT_S: Final = 10.0


class RegisterTriggerInput(msgspec.Struct):
    """The payload of `engine::register_trigger`."""

    trigger_type: str
    function_id: str
    config: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    trigger_namespace: str | None = None
    namespace: str | None = None


class UnregisterTriggerInput(msgspec.Struct):
    """The payload of `engine::unregister_trigger`; a `trigger_type` beside the id is ignored."""

    id: str


class TriggerFunctions:
    """The two functions over one engine's trigger registry."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def register(self) -> None:
        """Install both."""
        self.engine.register_function(
            "engine::register_trigger",
            self.register_trigger,
            description="Bind a function to a trigger type; the trigger outlives its creator",
        )
        self.engine.register_function(
            "engine::unregister_trigger",
            self.unregister_trigger,
            description="Remove a trigger by its id",
        )

    async def register_trigger(self, call: Call) -> bytes:
        """Answer `{id}`, once the type's provider has taken the trigger.

        Raises:
            TriggerRegistrationFailed: the provider refused; the message is its `CODE: message`.
        """
        wanted = read_payload(call, RegisterTriggerInput)
        if not wanted.trigger_type or not wanted.function_id:
            raise InvalidArguments(
                f"{call.function_id}: trigger_type and function_id may not be empty"
            )
        metadata = bytes(wanted.metadata)
        caller_namespace = None if call.caller is None else call.caller.namespace
        trigger = Trigger(
            id=str(uuid.uuid4()),
            trigger_type=wanted.trigger_type,
            function_id=wanted.function_id,
            config=bytes(wanted.config),
            metadata=None if metadata == NULL else metadata,
            namespace=wanted.namespace or caller_namespace,
            trigger_namespace=wanted.trigger_namespace,
        )
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        binding = self.engine.triggers.add(trigger, waiter=answer.set_result)
        error = (
            await self._provider_answer(answer) if binding.state != TriggerState.PENDING else b""
        )
        if error:
            self.engine.triggers.remove(trigger)
            raise _registration_failed(error)
        return encode({"id": trigger.id})

    async def _provider_answer(self, answer: asyncio.Future[bytes]) -> bytes:
        done, _ = await asyncio.wait({answer}, timeout=PROVIDER_TIMEOUT_S)
        return answer.result() if done else b""

    def unregister_trigger(self, call: Call) -> bytes:
        """Answer `{removed}`: true for a trigger of nobody's or of the caller's own."""
        wanted = read_payload(call, UnregisterTriggerInput)
        for trigger in self.engine.triggers.by_id(wanted.id):
            if trigger.owner is None:
                self.engine.triggers.remove(trigger)
                return b'{"removed":true}'
            if trigger.owner is call.caller:
                call.caller.triggers.pop(trigger.id, None)
                self.engine.triggers.remove(trigger)
                return b'{"removed":true}'
        return b'{"removed":false}'


def _registration_failed(error: bytes) -> TriggerRegistrationFailed:
    reason = invocation_failed(error)
    if reason.error_code == TriggerRegistrationFailed.code:
        return TriggerRegistrationFailed(reason.message)
    return TriggerRegistrationFailed(str(reason))
