"""The worker module: listens for workers and installs the `engine::*` functions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import msgspec

from engine.core.errors import InvocationFailed
from engine.core.functions import Call
from engine.core.listeners import Listener
from engine.core.modules import Module, ModuleConfig
from engine.core.payloads import read_payload
from engine.core.protocol import encode
from engine.core.worker_info import MAX_DESCRIPTION, WorkerInfo
from engine.modules.worker.availability import FunctionsAvailable, WorkersAvailable
from engine.modules.worker.channels import ChannelFunctions
from engine.modules.worker.config import WorkerModuleConfig
from engine.modules.worker.introspection import Introspection
from engine.modules.worker.triggers import TriggerFunctions

if TYPE_CHECKING:
    from engine.core.engine import Engine

logger = logging.getLogger(__name__)
worker_log = logging.getLogger("iii.workers")

LOG_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class LogLine(msgspec.Struct):
    """What workers send to `engine::log::*`; older SDKs say `function_name`."""

    message: str
    service_name: str | None = None
    function_name: str | None = None
    trace_id: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class WorkerModule(Module):
    """The engine's heart as a module: the worker port, introspection, trigger functions."""

    class_path: ClassVar[str] = "modules::worker::WorkerModule"
    aliases: ClassVar[tuple[str, ...]] = ("iii-worker-manager", "iii-engine-functions")
    Config: ClassVar[type[ModuleConfig]] = WorkerModuleConfig
    on_by_default: ClassVar[bool] = True
    mandatory: ClassVar[bool] = True

    config: WorkerModuleConfig

    def __init__(self, engine: Engine, config: ModuleConfig) -> None:
        super().__init__(engine, config)
        self._functions_available = FunctionsAvailable(engine)
        self._workers_available = WorkersAvailable(engine)

    def listeners(self) -> Sequence[Listener]:
        """Ask for the worker port."""
        return (
            Listener(
                room="workers",
                host=self.config.host,
                port=self.config.port,
                protocol="websocket",
                label="workers",
                handshake_timeout_ms=self.config.handshake_timeout_ms,
            ),
        )

    async def start(self) -> None:
        """Install functions and trigger types; watch for changes of the function list."""
        engine = self.engine
        engine.invocations.is_balanced = self.config.balance == "round_robin"
        engine.invocations.caller_member = self.config.inject_caller_worker_id
        engine.register_function(
            "engine::workers::register",
            register_worker,
            description="Take what a worker says about itself",
            aliases=("engine.workers.register",),
        )
        engine.register_function(
            "engine::health::check",
            lambda call: encode(engine.health()),
            description="Say how the engine is",
            aliases=("engine.health.check",),
        )
        self._register_log_functions()
        Introspection(engine).register()
        TriggerFunctions(engine).register()
        ChannelFunctions(engine).register()
        engine.register_trigger_type(self._functions_available)
        engine.register_trigger_type(self._workers_available)
        self._functions_available.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._functions_available.stop()

    def _register_log_functions(self) -> None:
        for level, number in LOG_LEVELS.items():
            self.engine.register_function(
                f"engine::log::{level}",
                lambda call, number=number: write_log_line(call, number),  # type: ignore[misc]
                description=f"Write a line of level {level} to the engine's log",
                aliases=(f"engine.log.{level}", f"log.{level}"),
            )


def register_worker(call: Call) -> bytes:
    """Answer `engine::workers::register`; who calls is known from its connection."""
    if call.caller is None:
        raise InvocationFailed("invocation_error", "only a worker can register itself")
    info = read_payload(call, WorkerInfo)
    if info.description is not None:
        info = msgspec.structs.replace(info, description=info.description[:MAX_DESCRIPTION])
    call.caller.introduce(info)
    return b'{"success":true}'


def write_log_line(call: Call, level: int) -> None:
    """Answer `engine::log::LEVEL`: the line goes to the engine's own log."""
    line = read_payload(call, LogLine)
    worker_log.log(
        level,
        "%s",
        line.message,
        extra={
            "function_id": line.service_name or line.function_name,
            "trace_id": line.trace_id,
            "data": bytes(line.data).decode(errors="replace") or None,
            "worker_id": call.caller.worker_id if call.caller is not None else None,
        },
    )
