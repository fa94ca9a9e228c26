"""Options of the worker module."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.core.modules import ModuleConfig

DEFAULT_PORT = 49134


class WorkerModuleConfig(ModuleConfig):
    """Options of `modules::worker::WorkerModule`, also known as `iii-worker-manager`."""

    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="port of the worker WebSocket")
    host: str | None = Field(None, description="address to bind; both loopbacks if absent")
    handshake_timeout_ms: int = Field(
        10_000, ge=1, description="time for a client to send its request head, in ms"
    )
    balance: Literal["newest", "round_robin"] = Field(
        "newest", description="which of several live owners of a function gets a call"
    )
    inject_caller_worker_id: bool = Field(
        False,
        description="put `_caller_worker_id` into object payloads of calls between workers",
    )
