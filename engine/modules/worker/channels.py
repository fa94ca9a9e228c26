"""The built-in function that makes data channels, and what becomes of them with their worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.channels import DEFAULT_MESSAGES, MAX_MESSAGES, ref
from engine.core.functions import Call
from engine.core.payloads import read_payload
from engine.core.workers import WorkerEvent

if TYPE_CHECKING:
    from engine.core.engine import Engine

_REF: Final = {
    "type": "object",
    "properties": {
        "channel_id": {"type": "string"},
        "access_key": {"type": "string"},
        "direction": {"enum": ["read", "write"]},
    },
}


class CreateChannel(msgspec.Struct):
    """The payload of `engine::channels::create`; SDKs say `null` for the default."""

    buffer_size: int | None = None


class ChannelFunctions:
    """`engine::channels::create`, for the workers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._workers = engine.workers
        self._channels = engine.channels
        self._register = engine.register_function

    def register(self) -> None:
        """Install the function, and end a leaving worker's channels that are not in use."""
        self._register(
            "engine::channels::create",
            self.create,
            description="Make a data channel between two workers",
            request_format={
                "type": "object",
                "properties": {
                    "buffer_size": {
                        "type": ["integer", "null"],
                        "description": f"Messages held, 1 to {MAX_MESSAGES}.",
                        "default": DEFAULT_MESSAGES,
                    }
                },
            },
            response_format={"type": "object", "properties": {"writer": _REF, "reader": _REF}},
            aliases=("engine.channels.create",),
        )
        self._workers.subscribe(self._on_worker)

    def create(self, call: Call) -> bytes:
        """Return `{"writer", "reader"}`, the refs of a new channel's ends.

        Raises:
            ChannelLimitReached: there are too many already.
        """
        wanted = read_payload(call, CreateChannel).buffer_size
        messages = DEFAULT_MESSAGES if wanted is None else min(max(wanted, 1), MAX_MESSAGES)
        owner_id = call.caller.worker_id if call.caller is not None else ""
        made = self._channels.create(owner_id, messages)
        writer, reader = ref(made.id, made.key, "write"), ref(made.id, made.key, "read")
        return b'{"writer":%b,"reader":%b}' % (writer, reader)

    def _on_worker(self, event: WorkerEvent) -> None:
        if event.event == "worker_disconnected":
            self._channels.owner_left(event.worker_id)
